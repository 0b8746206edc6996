"""Who watches is told what video will come before the recording is heard, and sees it while it is heard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.stream_type import stream_type

from sadtalker_service.domain import SPEECH_RATE, SourceImage, Speech, SpeechFile
from sadtalker_service.errors import UnreadableAudio
from sadtalker_service.media.audio import decode_speech, open_speech
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.store.cache import MemoryCache, NoCache

EXAMPLES = Path(__file__).parents[2] / "examples"
LIMITS = {"max_bytes": 10**7, "max_seconds": 60.0}


class Viewer:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.pieces.append(data)
        return len(data)


@pytest.fixture
def example() -> SpeechFile:
    return open_speech(EXAMPLES / "speech.wav", **LIMITS)


@pytest.mark.parametrize(
    "style",
    [RenderOptions(), RenderOptions(preprocess="crop", quality="high", fps=30), RenderOptions(quality="low")],
)
def test_the_stream_begins_the_same_whether_the_recording_is_known_or_not(
    engine, source_image: SourceImage, speech: Speech, tmp_path: Path, style: RenderOptions
) -> None:
    prepared = Pipeline(engine, NoCache()).prepare(source_image, RenderOptions(preprocess=style.preprocess))
    cache, first, again = MemoryCache(10**8), Viewer(), Viewer()
    for viewer in (first, again):
        Pipeline(engine, cache).render(prepared, speech, style, tmp_path / "v.mp4", stream=viewer)
    assert first.pieces == again.pieces
    assert stream_type(first.pieces[0]).startswith('video/mp4; codecs="avc1.')


def test_pictures_come_before_the_end_of_the_recording(
    engine, source_image: SourceImage, example: SpeechFile, tmp_path: Path
) -> None:
    """The recording arrives only as fast as the viewer gets what was made of it."""
    viewer, ended = Viewer(), []

    def arriving() -> Iterator[NDArray[np.float32]]:
        seconds = 0.0
        for piece in example.pieces():
            yield piece
            seconds += len(piece) / SPEECH_RATE
            if seconds > 9:
                assert viewer.pieces, "what will come is told"
        ended.append(len(viewer.pieces))

    prepared = Pipeline(engine, NoCache()).prepare(source_image, RenderOptions())
    speech = replace(example, decode=arriving)
    report = Pipeline(engine, NoCache()).render(
        prepared, speech, RenderOptions(), tmp_path / "v.mp4", stream=viewer
    )
    assert len(viewer.pieces) > 40
    assert ended[0] < len(viewer.pieces), "not all was made after the end either"
    assert report.frames == 260


def test_a_recording_that_breaks_off_leaves_no_file_and_no_thread(
    engine, source_image: SourceImage, example: SpeechFile, tmp_path: Path
) -> None:
    def breaking() -> Iterator[NDArray[np.float32]]:
        yield from (np.zeros(SPEECH_RATE, np.float32) for _ in range(3))
        raise UnreadableAudio("The recording is damaged.", param="driven_audio")

    prepared = Pipeline(engine, NoCache()).prepare(source_image, RenderOptions())
    cache = MemoryCache(10**8)
    with pytest.raises(UnreadableAudio, match="damaged"):
        Pipeline(engine, cache).render(
            prepared, replace(example, decode=breaking), RenderOptions(), tmp_path / "v.mp4"
        )
    assert list(tmp_path.iterdir()) == []
    good = Pipeline(engine, cache).render(prepared, example, RenderOptions(), tmp_path / "v.mp4")
    assert "motion" in good.cache_misses, "what is not complete is not kept"
    assert good.frames == 260


def test_windows_that_the_cache_has_dropped_are_computed_again(
    engine, source_image: SourceImage, example: SpeechFile, tmp_path: Path
) -> None:
    class Forgetful(MemoryCache):
        def get(self, key: str):
            return None if key.endswith(":5") else super().get(key)

    prepared = Pipeline(engine, NoCache()).prepare(source_image, RenderOptions())
    cache = Forgetful(10**8)
    for name in ("a.mp4", "b.mp4"):
        Pipeline(engine, cache).render(prepared, example, RenderOptions(), tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert engine.calls["speech_features"] == 2


def test_real_recordings_of_other_rates_are_shown_whole(
    engine, source_image: SourceImage, tmp_path: Path
) -> None:
    speech = decode_speech(EXAMPLES / "speech.wav", **LIMITS)
    prepared = Pipeline(engine, NoCache()).prepare(source_image, RenderOptions())
    viewer = Viewer()
    Pipeline(engine, NoCache()).render(prepared, speech, RenderOptions(), tmp_path / "v.mp4", stream=viewer)
    assert len(viewer.pieces) > 40, "it was not dropped for being another one"
