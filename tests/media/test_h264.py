"""Which encoder makes a video: NVENC where it works, and x264 everywhere else."""

from __future__ import annotations

import io
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs
from tests.support.stream_type import stream_type

from sadtalker_service.domain import QUALITIES, Rendering
from sadtalker_service.errors import OutputError
from sadtalker_service.media.h264 import X264, VideoEncoder, nvenc
from sadtalker_service.media.h264_trial import usable_encoder
from sadtalker_service.media.video import write_video

without_gpu = pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="NVENC may work here")


def encoder(name: Any, **options: str) -> VideoEncoder:
    """An encoder without B-frames, as NVENC is used."""
    return VideoEncoder(name, dict.fromkeys(QUALITIES, MappingProxyType(options)), reordered=0)


BASELINE = encoder("libx264", profile="baseline", preset="veryfast", crf="20")
"""Announces another profile than x264 with its usual options."""


def test_an_encoder_that_works_is_used() -> None:
    assert usable_encoder(BASELINE) is BASELINE
    assert usable_encoder(X264) is X264


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        pytest.param(nvenc(0), "h264_nvenc", marks=without_gpu, id="no driver"),
        pytest.param(encoder("no_such_encoder"), "no_such_encoder", id="not built in"),
        pytest.param(encoder("mpeg4"), "", id="no H.264"),
        pytest.param(encoder("libx264", preset="such"), "", id="wrong option"),
    ],
)
def test_without_one_that_works_x264_is_used_and_the_log_says_why(broken: VideoEncoder, reason: str) -> None:
    with capture_logs() as logs:
        assert usable_encoder(broken) is X264
    (said,) = logs
    assert (said["event"], said["encoder"], said["used"]) == (
        "video_encoder_unusable",
        broken.name,
        "libx264",
    )
    assert said["reason"]
    assert reason in said["reason"]


class Viewer:
    """Keeps the pieces of a stream."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.pieces.append(data)
        return len(data)


def rendering(frames: int = 12) -> Rendering:
    """Coarse noise, different in each frame."""
    coarse = np.random.default_rng(1).integers(30, 220, (frames, 10, 10, 3), dtype=np.uint8)
    pictures = coarse.repeat(16, 1).repeat(16, 2)
    return Rendering(np.zeros((160, 160, 3), np.uint8), (0, 0, 160, 160), 25, frames, iter([pictures]))


def shown(video: bytes | Path) -> tuple[list[float], NDArray[np.uint8]]:
    """The time and the pixels of each frame."""
    with av.open(io.BytesIO(video) if isinstance(video, bytes) else str(video)) as container:
        frames = list(container.decode(video=0))
    return [round(float(frame.time or 0), 3) for frame in frames], np.stack(
        [np.asarray(frame.to_ndarray(), np.uint8) for frame in frames]
    )


def written(tmp_path: Path, wanted: VideoEncoder) -> tuple[Path, list[bytes]]:
    tmp_path.mkdir(exist_ok=True)
    viewer, path = Viewer(), tmp_path / "video.mp4"
    write_video(rendering(), path, stream=viewer, encoder=wanted)
    return path, viewer.pieces


def test_a_stream_announces_the_encoder_that_makes_it(tmp_path: Path) -> None:
    path, pieces = written(tmp_path, BASELINE)
    assert 'codecs="avc1.42' in stream_type(pieces[0])
    assert 'codecs="avc1.64' in stream_type(written(tmp_path / "usual", X264)[1][0])
    times, pictures = shown(path)
    assert times == [round(number / 25, 3) for number in range(12)]
    streamed = shown(b"".join(pieces))
    assert streamed[0] == times
    assert np.array_equal(streamed[1], pictures)


@pytest.mark.parametrize(
    "broken",
    [pytest.param(nvenc(0), marks=without_gpu, id="nvenc"), encoder("libx264", preset="such")],
)
def test_a_video_whose_encoder_cannot_be_opened_is_made_by_x264(tmp_path: Path, broken: VideoEncoder) -> None:
    """Its stream is one of x264 from the first piece on."""
    with capture_logs() as logs:
        path, pieces = written(tmp_path, broken)
    assert [line["event"] for line in logs] == ["video_encoder_not_opened"]
    assert logs[0]["used"] == "libx264"
    usual, usual_pieces = written(tmp_path / "usual", X264)
    assert pieces[0] == usual_pieces[0]
    assert np.array_equal(shown(b"".join(pieces))[1], shown(path)[1])
    assert shown(path)[0] == shown(usual)[0]


def test_a_file_that_cannot_be_written_is_an_error_whatever_encodes(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_video(rendering(), tmp_path / "none" / "video.mp4", encoder=encoder("libx264", preset="such"))
