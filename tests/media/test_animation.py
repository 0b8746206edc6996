"""Frames of animations, as viewers show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.source_images import save_animation

from sadtalker_service.errors import ImageTooLarge, UnreadableImage
from sadtalker_service.media.animation import MOST_FRAMES, animation_frames, frames_within, is_animation

KINDS = ["gif", "webp", "png"]


def steps(count: int) -> list[Image.Image]:
    """The k-th has a black column at 2 k on grey."""
    pictures = []
    for k in range(count):
        picture = Image.new("RGB", (2 * count, 40), (128, 128, 128))
        picture.paste((0, 0, 0), (2 * k, 0, 2 * k + 2, 40))
        pictures.append(picture)
    return pictures


@pytest.mark.parametrize("suffix", KINDS)
def test_frames_are_those_of_the_file(suffix: str, tmp_path: Path) -> None:
    data = save_animation(tmp_path / f"a.{suffix}", steps(8)).read_bytes()
    assert is_animation(data)
    frames = list(animation_frames(data, max_pixels=10_000))
    assert [frame.number for frame in frames] == list(range(1, 9))
    for k, frame in enumerate(frames):
        assert int(np.argmin(frame.pixels[..., 0].mean(axis=0))) // 2 == k


@pytest.mark.parametrize("suffix", KINDS)
def test_of_a_long_one_some_are_looked_at(suffix: str, tmp_path: Path) -> None:
    data = save_animation(tmp_path / f"a.{suffix}", steps(90)).read_bytes()
    numbers = [frame.number for frame in animation_frames(data, max_pixels=10_000)]
    assert len(numbers) == MOST_FRAMES
    assert (numbers[0], numbers[-1]) == (1, 90)


def test_of_large_frames_fewer_are_decoded() -> None:
    assert frames_within((100, 100), 600) == 600
    assert frames_within((5000, 4000), 600) == 20
    assert frames_within((10**6, 10**6), 600) == 2


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "tif"])
def test_a_still_picture_is_no_animation(suffix: str, tmp_path: Path) -> None:
    steps(2)[0].save(tmp_path / f"a.{suffix}")
    assert not is_animation((tmp_path / f"a.{suffix}").read_bytes())


def test_pages_of_a_document_are_no_animation(tmp_path: Path) -> None:
    first, second = steps(2)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    assert not is_animation((tmp_path / "a.tif").read_bytes())
    assert not is_animation(b"")


@pytest.mark.parametrize("suffix", KINDS)
def test_an_animation_that_is_cut_off_ends_early(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = [Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(6)]
    data = save_animation(tmp_path / f"a.{suffix}", noise).read_bytes()
    try:
        frames = list(animation_frames(data[: len(data) * 2 // 3], max_pixels=10_000))
    except UnreadableImage:  # its decoder wants the whole file first
        assert suffix == "webp"
    else:
        assert 1 <= len(frames) < 6


def test_too_many_pixels_are_refused(tmp_path: Path) -> None:
    data = save_animation(tmp_path / "a.gif", steps(8)).read_bytes()
    with pytest.raises(ImageTooLarge):
        list(animation_frames(data, max_pixels=100))
