"""Frames of a video come from a child process, a bounded number of them, spread over the whole of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.source_images import save_animation, save_video

from sadtalker_service.errors import ImageTooLarge, UnreadableImage
from sadtalker_service.media.animation import MOST_DECODED, MOST_FRAMES, spread
from sadtalker_service.media.clip import clip_frames, decode_clip, is_video, video_media_type
from sadtalker_service.media.image import is_picture

KINDS = {".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"}


def greys(count: int, size: tuple[int, int] = (64, 48)) -> list[Image.Image]:
    """The k-th has the grey level 20 + 200 k / count."""
    return [Image.new("RGB", size, (round(20 + 200 * k / count),) * 3) for k in range(count)]


def children() -> set[int]:
    lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for path in lists for pid in path.read_text().split()}


@pytest.mark.parametrize("suffix", KINDS)
def test_frames_of_a_short_video_are_those_of_the_file(suffix: str, tmp_path: Path) -> None:
    path = save_video(tmp_path / f"clip{suffix}", greys(10))
    frames = list(clip_frames(path, max_pixels=10_000))
    assert [frame.number for frame in frames] == list(range(1, 11))
    assert [frame.pixels.shape for frame in frames] == [(48, 64, 3)] * 10
    levels = np.array([frame.pixels.mean() for frame in frames])
    assert np.abs(levels - (20 + 20 * np.arange(10))).max() < 5
    assert [frame.seconds for frame in frames] == pytest.approx([k / 25 for k in range(10)], abs=0.021)


@pytest.mark.parametrize("suffix", KINDS)
def test_a_video_is_known_by_its_beginning(suffix: str, tmp_path: Path) -> None:
    data = save_video(tmp_path / f"clip{suffix}", greys(3)).read_bytes()
    assert is_video(data)
    assert not is_picture(data)
    assert video_media_type(data) == KINDS[suffix]


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "avif", "jpg"])
def test_pictures_are_no_videos(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix in {"avif", "jpg"}:
        greys(1)[0].save(path)
    else:
        save_animation(path, greys(3))
    assert is_picture(path.read_bytes())
    if suffix != "avif":  # a box of the same kind as MP4: its brand tells
        assert not is_video(path.read_bytes())


@pytest.mark.parametrize("count", [200, 1500])
@pytest.mark.parametrize("gop", [12, 5000])
def test_a_long_video_is_looked_at_here_and_there(count: int, gop: int, tmp_path: Path) -> None:
    path = save_video(tmp_path / "long.mp4", greys(count), gop=gop)
    frames = list(decode_clip(path, max_pixels=10_000))
    assert 4 <= len(frames) <= MOST_FRAMES
    assert frames[0].number == 1
    for frame in frames:
        assert abs(frame.pixels.mean() - (20 + 200 * (frame.number - 1) / count)) < 6
    if count <= MOST_DECODED or gop == 12:
        assert len(frames) == MOST_FRAMES
        assert frames[-1].number > 0.95 * count


def test_frames_are_turned_as_the_camera_was_held(tmp_path: Path) -> None:
    picture = Image.new("RGB", (64, 48), (200, 40, 40))
    picture.paste((40, 40, 200), (0, 0, 64, 10))
    plain = save_video(tmp_path / "plain.mp4", [picture] * 3)
    data = plain.read_bytes()
    at = data.index(b"tkhd") + 4 + 40  # the matrix of a version 0 header
    one, zero = (65536).to_bytes(4, "big"), bytes(4)
    minus = (-65536 & 0xFFFFFFFF).to_bytes(4, "big")
    rotated = tmp_path / "rotated.mp4"
    rotated.write_bytes(data[:at] + zero + one + zero + minus + zero + zero + data[at + 24 :])
    frames = list(decode_clip(rotated, max_pixels=10_000))
    assert frames[0].pixels.shape == (64, 48, 3)
    edge = frames[0].pixels[:, -4:].reshape(-1, 3).mean(axis=0)  # a quarter turn clockwise
    assert edge[2] > edge[0] + 80


def test_what_holds_no_picture_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(2000))
    for path in (empty, tmp_path / "missing.mp4"):
        with pytest.raises(UnreadableImage, match="no frame that can be decoded"):
            list(clip_frames(path, max_pixels=10_000))


def test_a_damaged_end_keeps_the_beginning(tmp_path: Path) -> None:
    path = save_video(tmp_path / "a.webm", [noise(k) for k in range(20)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 3 <= len(list(clip_frames(path, max_pixels=10_000))) < 20


def noise(seed: int) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def test_too_many_pixels_are_refused(tmp_path: Path) -> None:
    path = save_video(tmp_path / "a.mp4", greys(3))
    with pytest.raises(ImageTooLarge, match="64 x 48"):
        list(clip_frames(path, max_pixels=3000))


def test_a_child_that_dies_leaves_the_frames_before(tmp_path: Path) -> None:
    """With frames larger than the pipe, it is in the midst of the second when it is killed."""
    path = save_video(tmp_path / "a.mp4", greys(6, (640, 480)))
    before = children()
    frames = clip_frames(path, max_pixels=10**6)
    first = next(frames)
    (child,) = children() - before
    os.kill(child, signal.SIGKILL)
    assert [first.number, *(frame.number for frame in frames)] in ([1], [1, 2])
    assert child not in children()


def test_who_stops_early_leaves_no_child(tmp_path: Path) -> None:
    path = save_video(tmp_path / "a.mp4", greys(6, (640, 480)))
    before = children()
    frames = clip_frames(path, max_pixels=10**6)
    next(frames)
    frames.close()
    assert children() == before


@pytest.mark.parametrize(("total", "most"), [(1, 24), (2, 24), (24, 24), (25, 24), (1000, 24), (2**31, 24)])
def test_numbers_are_spread_from_the_first_to_the_last(total: int, most: int) -> None:
    numbers = spread(total, most)
    assert len(numbers) == min(total, most)
    assert (numbers[0], numbers[-1]) == (0, total - 1)
