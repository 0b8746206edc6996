"""The stream that goes out while a video is made holds the video, piece by piece, from the first frame on."""

from __future__ import annotations

import gc
import io
import struct
from fractions import Fraction
from pathlib import Path
from threading import enumerate as threads

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.stream_type import stream_type

from sadtalker_service.domain import QUALITIES, Rendering
from sadtalker_service.errors import Cancelled
from sadtalker_service.media.audio import SoundStream
from sadtalker_service.media.fragments import refragment
from sadtalker_service.media.video import write_video

FPS = 25
RATE = 44_100
AT = struct.Struct(">I4s")


class Viewer:
    """Takes pieces, and remembers how many frames had been drawn when each one came."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.drawn_before: list[int] = []
        self.drawn = 0

    def write(self, data: bytes) -> int:
        self.pieces.append(data)
        self.drawn_before.append(self.drawn)
        return len(data)


class BrokenViewer(Viewer):
    """Takes so many pieces, then fails."""

    def __init__(self, takes: int) -> None:
        super().__init__()
        self.takes = takes

    def write(self, data: bytes) -> int:
        if len(self.pieces) == self.takes:
            self.takes = -1  # must not be asked again
            raise ConnectionResetError("nobody listens")
        assert self.takes > 0
        return super().write(data)


def noisy(frames: int, viewer: Viewer | None = None, size: int = 128, fps: int = FPS) -> Rendering:
    """Every frame differs from every other."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(30, 220, (frames, size // 16, size // 16, 3), dtype=np.uint8)

    def draw():
        for start in range(0, frames, 4):
            batch = coarse[start : start + 4].repeat(16, 1).repeat(16, 2)
            if viewer:
                viewer.drawn += len(batch)
            yield batch

    return Rendering(np.zeros((size, size, 3), np.uint8), (0, 0, size, size), fps, frames, draw())


def beeps(seconds: float) -> SoundStream:
    """A beep of 50 ms at the start of every second, and one frame after the start of the recording."""
    time = np.arange(round(seconds * RATE)) / RATE
    sound = 0.6 * np.sin(2 * np.pi * 880 * time) * (time % 1.0 < 0.05)
    return SoundStream(RATE, 1, iter([sound.astype(np.float32)[:, None]]))


def pictures(data: bytes | Path) -> list[tuple[float, bytes]]:
    with av.open(io.BytesIO(data) if isinstance(data, bytes) else str(data)) as container:
        return [(round(f.time, 4), f.to_ndarray().tobytes()) for f in container.decode(video=0)]


def sound(data: bytes | Path) -> tuple[float, NDArray[np.float32]]:
    """Time of the first sample, and the samples."""
    with av.open(io.BytesIO(data) if isinstance(data, bytes) else str(data)) as container:
        frames = list(container.decode(audio=0))
        return frames[0].time, np.concatenate([f.to_ndarray() for f in frames], axis=1)[0]


def kinds(piece: bytes) -> list[str]:
    """Types of the boxes in a piece, which must be whole."""
    found, at = [], 0
    while at < len(piece):
        size, kind = AT.unpack_from(piece, at)
        found.append(kind.decode())
        at += size
    assert at == len(piece)
    return found


@pytest.mark.parametrize("quality", QUALITIES)
def test_the_stream_shows_and_sounds_as_the_file_does(tmp_path: Path, quality: str) -> None:
    viewer = Viewer()
    path = tmp_path / "v.mp4"
    write_video(noisy(80), path, sound=beeps(3.2), quality=quality, stream=viewer)
    stream = b"".join(viewer.pieces)
    assert pictures(stream) == pictures(path)
    assert [t for t, _ in pictures(stream)] == pytest.approx([i / FPS for i in range(80)], abs=1e-3)
    (start, heard), (file_start, file_heard) = sound(stream), sound(path)
    assert start == file_start == 0
    np.testing.assert_array_equal(heard[: len(file_heard)], file_heard[: len(heard)])
    assert abs(len(heard) - 3.2 * RATE) <= 1024 + 1
    loud = np.flatnonzero(np.abs(heard) > 0.3) / RATE
    assert loud[loud > 0.5].min() == pytest.approx(1.0, abs=0.002)


def test_the_file_is_the_same_with_and_without_a_stream(tmp_path: Path) -> None:
    write_video(noisy(40), tmp_path / "without.mp4", sound=beeps(1.6))
    write_video(noisy(40), tmp_path / "with.mp4", sound=beeps(1.6), stream=Viewer())
    assert (tmp_path / "with.mp4").read_bytes() == (tmp_path / "without.mp4").read_bytes()


def test_each_piece_is_whole_and_short(tmp_path: Path) -> None:
    viewer = Viewer()
    write_video(noisy(80), tmp_path / "v.mp4", sound=beeps(3.2), stream=viewer)
    assert [kinds(piece) for piece in viewer.pieces] == [["ftyp", "moov"]] + [["moof", "mdat"]] * (
        len(viewer.pieces) - 1
    )
    assert len(viewer.pieces) - 1 == pytest.approx(3.2 / 0.2, abs=1.5)
    for piece in viewer.pieces[1:]:
        assert piece.count(b"traf") == 2, "picture and sound travel together"


@pytest.mark.parametrize("quality", QUALITIES)
def test_the_first_pieces_come_early(tmp_path: Path, quality: str) -> None:
    viewer = Viewer()
    write_video(noisy(150, viewer), tmp_path / "v.mp4", sound=beeps(6), quality=quality, stream=viewer)
    assert viewer.drawn_before[0] == 0, "the tracks are described before anything is drawn"
    # 5 frames of a fragment, what the encoder looks ahead, and what is on its way from the renderer
    assert viewer.drawn_before[1] <= 5 + 16 + 16


def test_what_has_come_so_far_plays(tmp_path: Path) -> None:
    viewer = Viewer()
    write_video(noisy(80), tmp_path / "v.mp4", sound=beeps(3.2), stream=viewer)
    for count in (2, 5, 9):
        begun = pictures(b"".join(viewer.pieces[:count]))
        assert len(begun) == pytest.approx(5 * (count - 1), abs=2)
        whole = begun[:-3]  # the last ones come in the order of decoding
        assert whole == pictures(tmp_path / "v.mp4")[: len(whole)]


@pytest.mark.parametrize("takes", [0, 1, 4])
def test_a_broken_stream_does_not_break_the_video(tmp_path: Path, takes: int) -> None:
    viewer = BrokenViewer(takes)
    write_video(noisy(80), tmp_path / "with.mp4", sound=beeps(3.2), stream=viewer)
    write_video(noisy(80), tmp_path / "without.mp4", sound=beeps(3.2))
    assert len(viewer.pieces) == takes
    assert (tmp_path / "with.mp4").read_bytes() == (tmp_path / "without.mp4").read_bytes()


def test_after_a_cancelled_video_the_stream_gets_nothing_more(tmp_path: Path) -> None:
    viewer = Viewer()

    def cancel(done: int) -> None:
        if done >= 60:
            raise Cancelled("stopped on request")

    with pytest.raises(Cancelled):
        write_video(noisy(400), tmp_path / "v.mp4", on_frame=cancel, stream=viewer)
    came = len(viewer.pieces)
    gc.collect()  # a muxer that is forgotten must not send its rest either
    assert [t.name for t in threads() if t.name.startswith("encoder")] == []
    assert len(viewer.pieces) == came > 1
    assert len(pictures(b"".join(viewer.pieces))) <= 60


def test_a_video_without_sound_streams(tmp_path: Path) -> None:
    viewer = Viewer()
    write_video(noisy(30, fps=50), tmp_path / "v.mp4", stream=viewer)
    assert pictures(b"".join(viewer.pieces)) == pictures(tmp_path / "v.mp4")
    assert "mp4a" not in stream_type(viewer.pieces[0])


def test_a_video_of_one_frame_streams(tmp_path: Path) -> None:
    viewer = Viewer()
    write_video(noisy(1), tmp_path / "v.mp4", sound=beeps(0.04), stream=viewer)
    assert len(pictures(b"".join(viewer.pieces))) == 1


@pytest.mark.parametrize("with_sound", [True, False])
def test_a_finished_file_gives_the_same_stream_again(tmp_path: Path, with_sound: bool) -> None:
    viewer = Viewer()
    path = tmp_path / "v.mp4"
    write_video(noisy(80), path, sound=beeps(3.2) if with_sound else None, stream=viewer)
    again = list(refragment(path))
    assert kinds(again[0]) == ["ftyp", "moov"]
    assert all(kinds(piece) == ["moof", "mdat"] for piece in again[1:])
    assert pictures(b"".join(again)) == pictures(path)
    if with_sound:
        np.testing.assert_array_equal(sound(b"".join(again))[1], sound(b"".join(viewer.pieces))[1])


@pytest.mark.parametrize(("quality", "profile"), [("low", 77), ("medium", 100), ("high", 100)])
def test_the_type_names_profile_and_level_of_the_picture(tmp_path: Path, quality: str, profile: int) -> None:
    viewer = Viewer()
    write_video(noisy(5, size=512), tmp_path / "v.mp4", sound=beeps(0.2), quality=quality, stream=viewer)
    name = stream_type(viewer.pieces[0])
    assert name.startswith(f'video/mp4; codecs="avc1.{profile:02x}')
    assert name.endswith('1e, mp4a.40.2"'), "level 3.0"
    with pytest.raises(ValueError, match="no initialisation segment"):
        stream_type(viewer.pieces[1])


def test_the_length_of_a_fragment_is_a_fraction_of_a_second(tmp_path: Path) -> None:
    viewer = Viewer()
    write_video(noisy(60, fps=60), tmp_path / "v.mp4", sound=beeps(1), stream=viewer)
    times = [t for t, _ in pictures(b"".join(viewer.pieces[:2]))]
    assert len(times) * Fraction(1, 60) == pytest.approx(0.2, abs=0.05)
