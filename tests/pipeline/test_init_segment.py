"""Viewers get the initialisation segment early, once, and it matches the video."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.stream_type import stream_type

from sadtalker_service.domain import SourceImage, Speech
from sadtalker_service.media.audio import decode_speech
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.init_segment import LiveStream, announcement
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.store.cache import MemoryCache, NoCache

EXAMPLES = Path(__file__).parents[2] / "examples"


class Viewer:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.pieces.append(data)
        return len(data)


@pytest.mark.parametrize(
    "style",
    [RenderOptions(), RenderOptions(preprocess="crop", quality="high", fps=30), RenderOptions(quality="low")],
)
def test_the_announced_segment_is_the_start_of_the_stream(
    engine, source_image: SourceImage, speech: Speech, tmp_path: Path, style: RenderOptions
) -> None:
    prepared = Pipeline(engine, NoCache()).prepare(source_image, RenderOptions(preprocess=style.preprocess))
    told = announcement(engine, prepared.avatar, speech, style)
    cache, viewer = MemoryCache(10**8), Viewer()
    for pieces in (Viewer(), viewer):  # the second time, the audio is cached and nothing is announced
        Pipeline(engine, cache).render(prepared, speech, style, tmp_path / "v.mp4", stream=pieces)
    assert told == viewer.pieces[0]
    assert stream_type(told).startswith('video/mp4; codecs="avc1.')


def test_the_first_piece_is_sent_once() -> None:
    viewer = Viewer()
    stream = LiveStream(viewer)
    stream.announce(b"first")
    for piece in (b"first", b"second", b"first"):
        assert stream.write(piece) == len(piece)
    assert viewer.pieces == [b"first", b"second", b"first"]


def test_without_an_announcement_everything_is_passed_on() -> None:
    viewer = Viewer()
    LiveStream(viewer).write(b"first")
    assert viewer.pieces == [b"first"]


def test_a_video_that_differs_from_the_announced_one_is_not_sent() -> None:
    viewer = Viewer()
    stream = LiveStream(viewer)
    stream.announce(b"first")
    for _ in range(2):
        with pytest.raises(OSError, match="does not match the announced"):
            stream.write(b"other")
    assert viewer.pieces == [b"first"]


def test_audio_with_other_rates_is_announced_correctly(
    engine, source_image: SourceImage, tmp_path: Path
) -> None:
    speech = decode_speech(EXAMPLES / "speech.wav", max_bytes=10**7, max_seconds=60)
    prepared = Pipeline(engine, NoCache()).prepare(source_image, RenderOptions())
    viewer = Viewer()
    Pipeline(engine, NoCache()).render(prepared, speech, RenderOptions(), tmp_path / "v.mp4", stream=viewer)
    assert len(viewer.pieces) > 40, "it was not dropped for being another one"
