"""What hides a mouth or an eye is seen; paint, blur, darkness and coloured light are not taken for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps
from tests.support import source_images as make

from sadtalker_service.errors import NoFaceFound
from sadtalker_service.faces.covered import Covered, find_covered, to_lab
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.media.image import decode_image

SHARED = Path(os.environ.get("SADTALKER_SHARED", Path(__file__).parents[3] / "shared")) / "fixtures/images"
PHOTOS = [make.EXAMPLE, *sorted(SHARED.glob("*.png"))]
FREE = Covered(mouth=False, eyes=(False, False))

Change = Callable[[Image.Image], Image.Image]


def seen(picture: Image.Image, landmarker: FaceLandmarker) -> Covered:
    pixels = make.array(picture)
    return find_covered(pixels, landmarker.detect(pixels).landmarks)


def lit(*shares: float) -> Change:
    """Under coloured or little light."""
    return lambda picture: Image.fromarray(
        (make.array(picture) * np.array(shares)).clip(0, 255).astype(np.uint8)
    )


def hazy(picture: Image.Image) -> Image.Image:
    return Image.blend(Image.new("RGB", picture.size, (110, 110, 110)), picture, 0.35)


CHANGES: dict[str, Change] = {
    "as it is": lambda picture: picture,
    "grey": lambda picture: ImageOps.grayscale(picture).convert("RGB"),
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(picture.width / 250)),
    "dark": lit(0.3, 0.3, 0.3),
    "overexposed": lit(1.5, 1.5, 1.5),
    "in warm light": lit(1.0, 0.75, 0.5),
    "in blue light": lit(0.5, 0.7, 1.0),
    "hazy": hazy,
}


@pytest.mark.parametrize("change", CHANGES)
def test_free_faces_of_photos_paintings_and_drawings_count_as_free(
    change: str, landmarker: FaceLandmarker
) -> None:
    for path in PHOTOS:
        picture = Image.fromarray(decode_image(path.read_bytes(), max_bytes=10**8, max_pixels=10**8).pixels)
        picture.thumbnail((640, 640))
        try:
            found = seen(CHANGES[change](picture), landmarker)
        except NoFaceFound:
            continue
        assert found == FREE, path.name


@pytest.mark.parametrize("stripe", [0.0, 0.25])
@pytest.mark.parametrize("colour", [(150, 190, 220), (150, 40, 40), (60, 90, 60), (25, 25, 28)])
def test_cloth_over_the_mouth_is_seen(
    colour: tuple[int, int, int], stripe: float, landmarker: FaceLandmarker
) -> None:
    assert seen(make.masked(colour, stripe), landmarker) == Covered(mouth=True, eyes=(False, False))


@pytest.mark.parametrize(
    ("colour", "opacity", "reflection"),
    [
        ((12, 12, 14), 1.0, False),
        ((12, 12, 14), 1.0, True),
        ((60, 110, 190), 0.97, True),
        ((40, 25, 15), 0.9, False),
    ],
)
@pytest.mark.parametrize("eyes", [(0, 1), (0,), (1,)])
def test_dark_lenses_are_seen_eye_by_eye(
    eyes: tuple[int, ...],
    colour: tuple[int, int, int],
    opacity: float,
    reflection: bool,
    landmarker: FaceLandmarker,
) -> None:
    picture = make.shaded(colour, eyes=eyes, opacity=opacity, reflection=reflection)
    assert seen(picture, landmarker) == Covered(mouth=False, eyes=(0 in eyes, 1 in eyes))


@pytest.mark.parametrize("picture", [make.in_glasses(), make.shaded((60, 40, 20), opacity=0.5)])
def test_eyes_behind_clear_or_lightly_tinted_glasses_are_free(
    picture: Image.Image, landmarker: FaceLandmarker
) -> None:
    assert seen(picture, landmarker) == FREE


@pytest.mark.parametrize("scale", [0.65, 1.0, 3.0, 5.0])
def test_the_size_of_the_picture_does_not_matter(scale: float, landmarker: FaceLandmarker) -> None:
    side = round(512 * scale)
    for picture, mouth, eye in (
        (make.example(), False, False),
        (make.masked((150, 190, 220)), True, False),
        (make.shaded(), False, True),
    ):
        resized = picture.resize((side, side), Image.Resampling.BICUBIC)
        assert seen(resized, landmarker) == Covered(mouth=mouth, eyes=(eye, eye))


def test_landmarks_outside_of_the_picture_do_no_harm(source_image: NDArray[np.uint8]) -> None:
    points = np.random.default_rng(0).uniform(-300, 800, (478, 3))
    for pixels in (source_image, source_image[:1, :1], source_image[:, :2]):
        find_covered(pixels, points)
        find_covered(pixels, np.zeros((478, 3)))


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0.0, 0.0)),
    ],
)
def test_colours_are_those_of_the_standard(rgb: tuple[int, ...], lab: tuple[float, ...]) -> None:
    assert to_lab(np.array(rgb, np.uint8)).tolist() == pytest.approx(lab, abs=0.05)
