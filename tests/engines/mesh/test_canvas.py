"""Which part of a picture is shown, for faces anywhere in pictures of any shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sadtalker_service.domain import PREPROCESS_MODES, PreprocessMode
from sadtalker_service.engines.mesh.canvas import MAX_CROP, MAX_HEIGHT, MAX_WIDTH, plan_canvas, scale_picture
from sadtalker_service.faces.topology import OVAL

Landmarks = NDArray[np.float32]
Size = tuple[int, int]
FaceAt = Callable[[Size, float, float, float], Landmarks]

SIZES = st.tuples(st.integers(65, 5000), st.integers(65, 5000))
SHARES = st.floats(0.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(SIZES, SHARES, SHARES, SHARES, st.sampled_from(PREPROCESS_MODES))
def test_the_window_lies_in_the_working_picture_and_is_never_enlarged(
    face_at: FaceAt, size: Size, height: float, x: float, y: float, mode: PreprocessMode
) -> None:
    canvas = plan_canvas(face_at(size, height, x, y), size, mode)
    assert 0.0 < canvas.scale <= 1.0
    working = [round(side * canvas.scale) for side in size]
    x0, y0, x1, y1 = canvas.window
    assert 0 <= x0 < x1 <= working[0]
    assert 0 <= y0 < y1 <= working[1]


@settings(max_examples=60, deadline=None)
@given(SIZES, SHARES, SHARES, SHARES)
def test_crops_are_square_hold_the_face_and_extcrop_shows_more(
    face_at: FaceAt, size: Size, height: float, x: float, y: float
) -> None:
    points = face_at(size, height, x, y)
    oval = points[list(OVAL), :2]
    shown = []
    for mode in ("crop", "extcrop"):
        canvas = plan_canvas(points, size, mode)
        window = np.array(canvas.window) / canvas.scale
        side = window[2:] - window[:2]
        assert canvas.square
        assert canvas.window[2] - canvas.window[0] == canvas.window[3] - canvas.window[1] <= MAX_CROP
        shown.append(side[0])
        slack = 2.0 / canvas.scale
        if side[0] < min(size) - slack:  # else there is not as much picture as wanted
            assert (oval.min(axis=0) >= window[:2] - slack).all()
            assert (oval.max(axis=0) <= window[2:] + slack).all()
    assert shown[1] >= shown[0] - slack
    if shown[1] < min(size) - slack:
        assert shown[1] == pytest.approx(1.4 * shown[0], rel=0.01, abs=2.0 * slack)


@settings(max_examples=40, deadline=None)
@given(SIZES)
def test_full_modes_show_the_whole_picture_in_its_shape_within_1920_by_1080(
    landmarks: Landmarks, size: Size
) -> None:
    for mode in ("full", "extfull"):
        canvas = plan_canvas(landmarks, size, mode)
        x0, y0, x1, y1 = canvas.window
        assert (x0, y0) == (0, 0)
        assert x1 <= MAX_WIDTH
        assert y1 <= MAX_HEIGHT
        assert not canvas.square
        assert abs(x1 / size[0] - y1 / size[1]) < 1.5 / min(size) + 1.5 / min(x1, y1)
        fits = size[0] <= MAX_WIDTH and size[1] <= MAX_HEIGHT
        assert (canvas.scale == 1.0) == fits
        assert fits or x1 == MAX_WIDTH or y1 == MAX_HEIGHT


@settings(max_examples=40, deadline=None)
@given(SIZES)
def test_resize_squeezes_the_whole_picture_into_a_square(landmarks: Landmarks, size: Size) -> None:
    canvas = plan_canvas(landmarks, size, "resize")
    assert canvas.square
    assert canvas.window[:2] == (0, 0)
    assert canvas.window[2:] == tuple(round(side * canvas.scale) for side in size)
    assert max(canvas.window) <= MAX_CROP


@pytest.mark.parametrize("size", [(641, 479), (333, 1001), (2001, 1501)])
def test_the_scaled_picture_has_the_size_that_the_canvas_speaks_of(landmarks: Landmarks, size: Size) -> None:
    picture = np.broadcast_to(np.arange(size[0]) % 251, (size[1], size[0]))
    picture = np.repeat(picture[..., None], 3, axis=2).astype(np.uint8)
    canvas = plan_canvas(landmarks, size, "full")
    scaled = scale_picture(picture, canvas.scale)
    assert scaled.shape[1::-1] == canvas.window[2:]
    assert canvas.scale < 1.0 or scaled is picture
