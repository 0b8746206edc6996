"""Crop and alignment match the original, except for its faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.sadtalker_inputs import photo

from sadtalker_service.domain import PREPROCESS_MODES, Artefact, SourceImage
from sadtalker_service.engines.detection import DETECTION
from sadtalker_service.engines.sadtalker.alignment.alignment import SIZE, AlignedFace, align, camera
from sadtalker_service.engines.sadtalker.alignment.cropping import (
    cut,
    into_square,
    plan_crop,
    shrunk,
    to_square,
    video_size,
)
from sadtalker_service.engines.sadtalker.alignment.landmarks68 import LAYOUT, five_points, to_68
from sadtalker_service.engines.sadtalker.stages import align_face, crop_face
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.faces.topology import EYES, LIPS

SOURCE_IMAGE = Path(__file__).parents[4] / "examples" / "portrait.jpg"
MODES = (("crop", 0), ("extcrop", 1))


@pytest.fixture(scope="module")
def face() -> tuple[Any, Any]:
    """Pixels and (478, 3) landmarks of the example source image."""
    pixels = np.asarray(Image.open(SOURCE_IMAGE).convert("RGB"))
    return pixels, FaceLandmarker().detect(pixels).landmarks


def planned(geometry: Any, case: str) -> tuple[Any, Any]:
    width, height = (int(side) for side in geometry[f"{case}.size_wh"])
    return photo(height, width), plan_crop(geometry[f"{case}.lm68"], (width, height))


def prepared(face: tuple[Any, Any], mode: Any, size: int) -> tuple[Any, AlignedFace]:
    """The square that the stages crop, and the face that they align in it."""
    source_image = SourceImage("0" * 64, face[0])
    artefacts = {DETECTION: Artefact({"landmarks": face[1]}, {"quarter_turns": 0})}
    crop = crop_face(source_image, mode, artefacts, size)
    return crop.arrays["square"], align_face(artefacts, crop, mode)


@pytest.mark.parametrize("case", ["a", "b"])
def test_window_is_the_originals(case: str, golden: Any) -> None:
    geometry = golden("geometry")
    _, crop = planned(geometry, case)
    assert crop.wide == tuple(geometry[f"{case}.crop"])
    assert np.abs(np.array(crop.quad) - geometry[f"{case}.quad"]).max() < 1e-4


@pytest.mark.parametrize(("case", "mode", "number"), [(c, *m) for c in "abc" for m in MODES])
def test_square_is_the_originals(case: str, mode: Any, number: int, golden: Any) -> None:
    """Also in case c, where the original's box is larger than its crop: the crop is the same."""
    geometry = golden("geometry")
    picture, crop = planned(geometry, case)
    region = cut(picture, crop.rectangle(mode))
    assert region.shape == tuple(geometry[f"{case}.crop_shape_still{number}"])
    wanted = geometry[f"{case}.resized256_s8_still{number}"].astype(int)
    difference = np.abs(to_square(region, 256)[::8, ::8] - wanted)
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_box_ends_at_the_image_border(golden: Any) -> None:
    """The original's box reaches 22 pixels below the image here, and pasting into it fails."""
    geometry = golden("geometry")
    _, crop = planned(geometry, "c")
    assert geometry["c.quad"][3] > geometry["c.crop"][3]
    assert crop.wide == (0, 0, 300, 200)
    assert crop.rectangle("full") == (1, 0, 299, 200)


def test_tall_image_keeps_the_chin(golden: Any) -> None:
    """The original limits the lower side by the width of the image."""
    geometry = golden("geometry")
    _, crop = planned(geometry, "d")
    assert geometry["d.quad"][3] == geometry["d.size_wh"][0]
    assert np.abs(np.array(crop.quad[:3]) - geometry["d.quad"][:3]).max() < 1e-4
    assert crop.quad[3] == 215
    assert crop.rectangle("full")[3] == 320


def test_very_large_face_is_scaled_down_with_its_landmarks(golden: Any) -> None:
    points = golden("geometry")["a.lm68"].astype(np.float64)
    small, large = plan_crop(points, (640, 480)), plan_crop(points * 10, (6400, 4800))
    assert large.shrink == 2
    assert large.size == (3200, 2400)
    assert np.abs(np.array(large.wide) / 5 - small.wide).max() < 2
    square = into_square(points * 10, large, large.rectangle("crop"), 256)
    assert np.abs(square - into_square(points, small, small.rectangle("crop"), 256)).max() < 2
    assert shrunk(np.zeros((4800, 6400, 3), np.uint8), large).shape == (2400, 3200, 3)


def test_face_outside_the_image_is_rejected(golden: Any) -> None:
    with pytest.raises(ValueError, match="outside"):
        plan_crop(golden("geometry")["a.lm68"] - (1000, 0), (640, 480))


def test_large_region_is_averaged_not_sampled() -> None:
    """Every second column is white: the result is a mean grey at any size, while sampling would give
    stripes."""
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(to_square(stripes, 256)) <= 1


@pytest.mark.parametrize("case", ["f0", "f1", "f2"])
def test_aligned_face_is_the_originals(case: str, golden: Any) -> None:
    geometry = golden("geometry")
    five = five_points(geometry[f"{case}.lm68_image"])
    upright = np.stack([five[:, 0], 255 - five[:, 1]], axis=1)
    assert np.abs(upright - geometry[f"{case}.five"]).max() < 1e-4
    shift, scale = camera(upright)
    assert np.abs(shift - geometry[f"{case}.pos_t"][:, 0]).max() < 1e-4
    assert abs(scale - geometry[f"{case}.pos_s"]) < 1e-4
    face = align(photo(256, 256), five)
    assert np.abs(face.placement - geometry[f"{case}.trans_params"][2:]).max() < 1e-4
    if case == "f0":
        assert face.pixels.shape == (SIZE, SIZE, 3)
    assert np.array_equal(face.pixels[::7, ::7], geometry[f"{case}.image224_s7"])


def test_sixty_eight_landmarks_match_their_names(face: tuple[Any, Any]) -> None:
    points, mesh = to_68(face[1]), face[1][:, :2]
    for number, eye in zip((slice(36, 42), slice(42, 48)), EYES, strict=True):
        opening = mesh[list(eye.contour)]
        assert np.all(points[number] >= opening.min(axis=0))
        assert np.all(points[number] <= opening.max(axis=0))
        width = float(np.ptp(opening[:, 0]))
        assert np.hypot(*(points[number].mean(axis=0) - opening.mean(axis=0))) < 0.05 * width
    assert points[48, 0] == mesh[list(LIPS), 0].min()
    assert points[54, 0] == mesh[list(LIPS), 0].max()
    assert len(set(LAYOUT.tolist())) == 68
    assert points[0, 0] < points[8, 0] < points[16, 0]
    assert np.all(np.diff(points[:9, 1]) > 0)  # down the jaw to the chin, and up again
    assert np.all(np.diff(points[8:17, 1]) < 0)


@pytest.mark.parametrize("mode", PREPROCESS_MODES)
def test_face_is_aligned_with_the_mean_face(mode: Any, face: tuple[Any, Any]) -> None:
    """In every mode the face is in the middle of the aligned image, at 102 pixels per unit."""
    square, aligned = prepared(face, mode, 256)
    assert square.shape == (256, 256, 3)
    found = FaceLandmarker().detect(aligned.pixels)
    five = five_points(to_68(found.landmarks))
    shift, scale = camera(np.stack([five[:, 0], SIZE - 1 - five[:, 1]], axis=1))
    assert abs(scale - 102) < 4
    assert np.abs(shift - SIZE / 2).max() < 4


def test_placement_is_in_pixels_of_the_square(face: tuple[Any, Any]) -> None:
    """Twice the square: half the scale, twice the distance from its corner."""
    small, large = (prepared(face, "full", size)[1].placement for size in (256, 512))
    assert abs(large[0] / small[0] - 0.5) < 1e-3
    # y counts from the last row, not from the lower edge
    assert np.abs(large[1:] - 2 * small[1:]).max() < 1.1


def test_cropped_video_keeps_the_proportions_of_the_crop(golden: Any) -> None:
    geometry = golden("geometry")
    tall, wide = (planned(geometry, case)[1] for case in "dc")
    assert tall.rectangle("crop") == (0, 131, 200, 320)
    assert video_size(tall, "crop", 256) == (256, 242)
    assert video_size(tall, "extcrop", 256) == (256, 276)
    assert video_size(wide, "resize", 512) == (512, 342)
