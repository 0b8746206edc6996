"""Pictures of a video come with their times, whatever its frame rate."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sadtalker_service.errors import ImageTooLarge, UnreadableVideo
from sadtalker_service.media.video_frames import read_footage

SPEECH = Path(__file__).parents[2] / "examples" / "speech.wav"
LIMITS = {"max_seconds": 60.0, "max_pixels": 1_000_000}


def write(path: Path, ticks: list[int], *, start: int = 0) -> Path:
    """A video with a picture at each tick of 1/600 s; the k-th is grey of 40 + 4 k."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 600)
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 + 4 * number, np.uint8), "rgb24")
            frame.pts, frame.time_base = start + tick, Fraction(1, 600)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("step", [10, 20, 24, 50])
def test_times_are_those_of_the_file(step: int, tmp_path: Path) -> None:
    """60, 30, 25 and 12 frames a second."""
    ticks = [step * k for k in range(30)]
    found = list(read_footage(write(tmp_path / "a.mp4", ticks), **LIMITS))
    assert len(found) == 30
    assert np.abs(np.array([seconds for seconds, _ in found]) - np.array(ticks) / 600).max() < 1e-3
    assert all(picture.shape == (48, 64, 3) for _, picture in found)
    greys = np.array([picture.mean() for _, picture in found])
    assert np.abs(greys - (40 + 4 * np.arange(30))).max() < 3


def test_uneven_frames_that_begin_late(tmp_path: Path) -> None:
    ticks = [0, 20, 100, 120, 300]
    found = list(read_footage(write(tmp_path / "a.mkv", ticks, start=600), **LIMITS))
    assert np.abs(np.array([seconds for seconds, _ in found]) - np.array(ticks) / 600).max() < 2e-3


def test_reading_ends_at_the_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [24 * k for k in range(50)])
    assert len(list(read_footage(path, max_seconds=1.0, max_pixels=10_000))) == 26


def test_damaged_end_keeps_the_beginning(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", [24 * k for k in range(50)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    found = list(read_footage(path, **LIMITS))
    assert 10 < len(found) < 50


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("no video")
    for path in (text, SPEECH, tmp_path / "missing.mp4"):
        with pytest.raises(UnreadableVideo):
            list(read_footage(path, **LIMITS))


def test_too_many_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageTooLarge):
        list(read_footage(write(tmp_path / "a.mp4", [0, 24]), max_seconds=9.0, max_pixels=1000))
