"""The largest face is found, near or far, upright or not, and its landmarks lie where they should."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sadtalker_service.errors import FaceTooSmall, NoFaceFound
from sadtalker_service.faces.landmarker import FaceDetection, FaceLandmarker
from sadtalker_service.faces.topology import EYES, LIPS, LOWER_LIP, MOUTH_OPENING, OVAL, UPPER_LIP
from sadtalker_service.media.image import decode_image

Pixels = NDArray[np.uint8]
SHARED = Path(os.environ.get("SADTALKER_SHARED", Path(__file__).parents[3] / "shared"))
REFERENCE = SHARED / "reference/landmarks/refined478_mediapipe_0_10_21.npz"
EYE_DISTANCE = 90.0
"""Millimetres between the outer corners of the eyes: the unit of errors."""


@pytest.fixture(scope="module")
def found(source_image: Pixels, landmarker: FaceLandmarker) -> FaceDetection:
    return landmarker.detect(source_image)


def millimetres(
    points: NDArray[np.floating], expected: NDArray[np.floating], which: tuple[int, ...] = tuple(range(478))
) -> float:
    """Mean distance in the picture plane."""
    unit = np.linalg.norm(expected[33, :2] - expected[263, :2]) / EYE_DISTANCE
    away = np.linalg.norm(points[:, :2] - expected[:, :2], axis=1) / unit
    return float(away[list(which)].mean())


def on_canvas(picture: Pixels, scale: float, at: tuple[int, int], size: tuple[int, int]) -> Pixels:
    """The picture, scaled, with its upper left corner at (x, y) of a grey canvas (width, height)."""
    small = Image.fromarray(picture)
    small = small.resize((round(small.width * scale), round(small.height * scale)), Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", size, (128, 128, 128))
    canvas.paste(small, at)
    return np.array(canvas)


def test_example_source_image_has_one_sure_face(found: FaceDetection) -> None:
    assert found.faces == 1
    assert found.quarter_turns == 0
    assert found.score > 0.8
    assert found.presence > 0.999
    assert found.landmarks.shape == (478, 3)
    assert found.landmarks.dtype == np.float32
    assert 100 < found.height < 115


def test_landmarks_lie_where_their_names_say(found: FaceDetection) -> None:
    points = found.landmarks[:, :2]
    right_eye, left_eye = (points[list(eye.contour)].mean(0) for eye in EYES)
    mouth = points[list(MOUTH_OPENING)].mean(0)
    assert right_eye[0] < mouth[0] < left_eye[0]
    assert max(right_eye[1], left_eye[1]) < points[1, 1] < mouth[1] < points[152, 1]
    for eye in EYES:
        low, high = points[list(eye.contour)].min(0), points[list(eye.contour)].max(0)
        assert np.all(points[eye.iris[0]] > low)
        assert np.all(points[eye.iris[0]] < high)
    box = np.array(found.box)
    assert np.all(mouth > box[:2])
    assert np.all(mouth < box[2:])
    nose_to_rim = found.landmarks[list(OVAL), 2].mean() - found.landmarks[1, 2]
    assert 0.2 < nose_to_rim / found.height < 0.8  # nearer to the camera is smaller


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_picture_is_turned_upright(
    turns: int, source_image: Pixels, landmarker: FaceLandmarker, found: FaceDetection
) -> None:
    """The result is the same as for the upright picture, number for number: it is the same picture again."""
    turned = landmarker.detect(np.rot90(source_image, -turns))
    assert turned.quarter_turns == turns
    assert np.array_equal(turned.landmarks, found.landmarks)


@pytest.mark.parametrize("degrees", [-40, -20, 20, 40])
def test_tilted_head_is_followed(
    degrees: int, source_image: Pixels, landmarker: FaceLandmarker, found: FaceDetection
) -> None:
    centre = found.landmarks[1, :2].astype(float)
    tilted = Image.fromarray(source_image).rotate(degrees, Image.Resampling.BICUBIC, center=tuple(centre))
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    expected = (found.landmarks[:, :2] - centre) @ np.array([[cos, -sin], [sin, cos]]) + centre
    result = landmarker.detect(np.array(tilted))
    assert result.quarter_turns == 0
    assert millimetres(result.landmarks, expected) < 3.0


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("at", [(30, 900), (900, 100)])
def test_small_face_in_a_large_picture_is_found(
    turns: int, at: tuple[int, int], source_image: Pixels, landmarker: FaceLandmarker, found: FaceDetection
) -> None:
    """The face is a seventeenth of the picture: out of sight of the short-range detector."""
    canvas = on_canvas(source_image, 0.8, at, (1400, 1400))
    result = landmarker.detect(np.rot90(canvas, -turns))
    assert result.quarter_turns == turns
    assert millimetres(result.landmarks, found.landmarks * 0.8 + np.array([*at, 0])) < 2.0


def test_landmarks_scale_with_the_picture(
    source_image: Pixels, landmarker: FaceLandmarker, found: FaceDetection
) -> None:
    twice = Image.fromarray(source_image).resize((1024, 1024), Image.Resampling.BICUBIC)
    result = landmarker.detect(np.array(twice))
    assert millimetres(result.landmarks / 2, found.landmarks) < 1.0
    assert millimetres(result.landmarks / 2, found.landmarks, LIPS) < 1.0


@pytest.mark.parametrize("order", [1, -1])
def test_largest_of_two_faces_is_taken(
    order: int, source_image: Pixels, landmarker: FaceLandmarker, found: FaceDetection
) -> None:
    large, small = (
        on_canvas(source_image, 1.0, (0, 0), (512, 512)),
        on_canvas(source_image, 0.7, (0, 0), (512, 512)),
    )
    result = landmarker.detect(np.concatenate([large, small][::order], axis=1))
    offset = 0 if order == 1 else 512
    assert result.faces == 2
    assert millimetres(result.landmarks, found.landmarks + np.array([offset, 0, 0])) < 1.5


def test_face_below_the_least_height_is_refused(source_image: Pixels, landmarker: FaceLandmarker) -> None:
    small = on_canvas(source_image, 0.45, (50, 50), (400, 400))
    with pytest.raises(FaceTooSmall, match=r"4\d pixels high, but at least 64"):
        landmarker.detect(small)
    assert FaceLandmarker(min_face_pixels=40).detect(small).height == pytest.approx(48, abs=3)


def no_faces() -> dict[str, Pixels]:
    rng = np.random.default_rng(5)
    noise = Image.fromarray(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8))
    return {
        "noise": np.array(noise),
        "blurred noise": np.array(noise.filter(ImageFilter.GaussianBlur(12))),
        "grey": np.full((300, 400, 3), 128, np.uint8),
        "one pixel": np.zeros((1, 1, 3), np.uint8),
        "a line": np.zeros((1, 3000, 3), np.uint8),
    }


@pytest.mark.parametrize("name", no_faces())
def test_picture_without_a_face_is_refused(name: str, landmarker: FaceLandmarker) -> None:
    with pytest.raises(NoFaceFound, match="Use a photo"):
        landmarker.detect(no_faces()[name])


def test_background_of_the_source_image_holds_no_face(
    source_image: Pixels, landmarker: FaceLandmarker
) -> None:
    with pytest.raises(NoFaceFound):
        landmarker.detect(np.ascontiguousarray(source_image[230:]))


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((9, 9, 3), np.float32),
        np.zeros((0, 9, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(pixels: Pixels, landmarker: FaceLandmarker) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        landmarker.detect(pixels)


def test_threads_may_share_a_landmarker(source_image: Pixels, found: FaceDetection) -> None:
    landmarker = FaceLandmarker()
    far = on_canvas(source_image, 0.8, (30, 900), (1400, 1400))
    alone = FaceLandmarker().detect(far)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(landmarker.detect, [source_image, far] * 6))
    for near_result, far_result in zip(results[::2], results[1::2], strict=True):
        assert np.array_equal(near_result.landmarks, found.landmarks)
        assert np.array_equal(far_result.landmarks, alone.landmarks)


def lip_gap(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Distances (9,) between the inner edges of the lips, in the unit of the points."""
    upper, lower = points[list(UPPER_LIP[-1][1:-1]), :2], points[list(LOWER_LIP[-1][1:-1]), :2]
    return np.asarray(np.linalg.norm(lower - upper, axis=1))


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference landmarks are not here")
def test_landmarks_are_those_of_mediapipe(landmarker: FaceLandmarker) -> None:
    lips, gaps = [], []
    with np.load(REFERENCE) as reference:
        for name in reference.files:
            file = SHARED / "fixtures/images" / name
            if file.exists():
                expected = reference[name]
                picture = decode_image(file.read_bytes(), max_bytes=10**8, max_pixels=10**8)
                points = landmarker.detect(picture.pixels).landmarks
                unit = np.linalg.norm(expected[33, :2] - expected[263, :2]) / EYE_DISTANCE
                lips.append(millimetres(points, expected, LIPS))
                gaps.append(np.abs(lip_gap(points) - lip_gap(expected)).max() / unit)
    assert len(lips) >= 10
    assert np.mean(lips) <= 0.05
    assert np.max(gaps) <= 0.15
