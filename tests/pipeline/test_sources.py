"""A source image may be a still image, an animation or a video: the chosen frame and its warning."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support import source_images as make

from sadtalker_service.domain import SourceImage
from sadtalker_service.errors import ImageTooLarge, NoFaceFound, UnreadableImage
from sadtalker_service.pipeline.sources import FRAME, lazy_source_image, read_source_image
from sadtalker_service.settings import Settings
from sadtalker_service.store.cache import MemoryCache

STATES: tuple[make.State, ...] = ("wide", "blink", "good", "open")


class CountingCache(MemoryCache):
    """A cache that records the kinds of stored artefacts."""

    def __init__(self) -> None:
        super().__init__(10**8)
        self.kinds: list[str] = []

    def put(self, key: str, *rest: object) -> None:
        self.kinds.append(key.split(":", maxsplit=1)[0])
        super().put(key, *rest)


def video(path: Path) -> Path:
    return make.save_video(path, [make.talking()[state] for state in STATES for _ in range(2)])


def distance(source_image: SourceImage, picture: Image.Image) -> float:
    return float(np.abs(source_image.pixels.astype(float) - make.array(picture)).mean())


def test_a_still_image_is_used_unchanged() -> None:
    cache = CountingCache()
    source_image = read_source_image(make.EXAMPLE, Settings(), cache=cache)
    assert source_image.image_hash == hashlib.sha256(make.EXAMPLE.read_bytes()).hexdigest()
    assert distance(source_image, make.example()) == 0
    assert (source_image.warnings, cache.kinds) == ((), [])


@pytest.mark.parametrize("suffix", ["mp4", "webm", "mov"])
def test_the_best_frame_of_a_video_is_used_and_reported(suffix: str, tmp_path: Path) -> None:
    path = video(tmp_path / f"a.{suffix}")
    source_image = read_source_image(path, Settings())
    assert source_image.image_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    away = {state: distance(source_image, picture) for state, picture in make.talking().items()}
    assert min(away, key=lambda state: away[state]) == "good"
    (words,) = source_image.warnings
    assert words.startswith("The source is a video. The frame at 0.2 s was used, the best of 8")


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_a_later_frame_of_an_animation_that_fades_in_is_used_and_reported(
    suffix: str, tmp_path: Path
) -> None:
    path = make.save_animation(tmp_path / f"a.{suffix}", make.fading_in((0.0, 0.4, 1.0)))
    source_image = read_source_image(path, Settings())
    assert distance(source_image, make.fading_in((1.0,))[0]) < 6
    assert source_image.warnings == (
        "The source image is an animation that starts without a clear face. Frame 3 was used.",
    )


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_the_first_frame_of_a_good_animation_is_used(suffix: str, tmp_path: Path) -> None:
    states = [make.talking()[state] for state in ("open", "good", "blink")]
    path = make.save_animation(tmp_path / f"a.{suffix}", states)
    source_image = read_source_image(path, Settings())
    assert distance(source_image, make.talking()["open"]) < 6
    assert source_image.warnings == ()


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_the_choice_is_made_once(suffix: str, tmp_path: Path) -> None:
    frames = make.fading_in((0.0, 1.0, 1.0))
    path = (make.save_video if suffix == "mp4" else make.save_animation)(tmp_path / f"a.{suffix}", frames)
    cache = CountingCache()
    first = read_source_image(path, Settings(), cache=cache)
    lazy = lazy_source_image(path, Settings(), cache)
    assert lazy.image_hash == first.image_hash
    again = lazy.opened
    assert cache.kinds == [FRAME]
    assert np.array_equal(first.pixels, again.pixels)
    assert first.warnings == again.warnings != ()


def test_a_video_without_a_face_is_refused_and_an_animation_left_to_the_engine(tmp_path: Path) -> None:
    blank = [Image.new("RGB", (256, 256), (90, 90, level)) for level in (90, 120, 150)]
    with pytest.raises(NoFaceFound, match="in the video"):
        read_source_image(make.save_video(tmp_path / "a.mp4", blank), Settings())
    source_image = read_source_image(make.save_animation(tmp_path / "a.webp", blank), Settings())
    assert distance(source_image, blank[0]) < 2


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="Cannot read"):
        read_source_image(tmp_path / "none.png", Settings())
    path = video(tmp_path / "a.mp4")
    with pytest.raises(ImageTooLarge, match="Cut the video shorter"):
        read_source_image(path, Settings(max_image_bytes=1000))
    with pytest.raises(ImageTooLarge, match="256 x 256"):
        read_source_image(path, Settings(max_image_pixels=1000))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UnreadableImage, match="no frame"):
        read_source_image(path, Settings())
