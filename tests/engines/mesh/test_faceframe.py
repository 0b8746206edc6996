"""The head's own coordinates, from heads whose pose is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sadtalker_service.engines.mesh.faceframe import FaceFrame, fit_face_frame, rest_mouth
from sadtalker_service.faces.topology import LANDMARKS, LOWER_LIP, UPPER_LIP

Points = NDArray[np.float64]

FOREHEAD, CHIN, NOSE_TIP, RIGHT_CORNER, LEFT_CORNER = 10, 152, 1, 33, 263
ORIGIN = np.array([300.0, 200.0, -7.0])


def head(opening: float = 3.0, width: float = 52.0) -> Points:
    """float64 (478, 3), mm: a head that looks straight ahead, of which only what is measured is in place."""
    local = np.random.default_rng(0).uniform(-40.0, 40.0, (LANDMARKS, 3))
    local[RIGHT_CORNER], local[LEFT_CORNER] = (-45.0, -60.0, 20.0), (45.0, -60.0, 20.0)
    local[FOREHEAD], local[CHIN] = (0.0, -118.0, 15.0), (0.0, 60.0, 15.0)
    local[NOSE_TIP] = (0.0, -30.0, -25.0)
    for k, (upper, lower) in enumerate(zip(UPPER_LIP[-1], LOWER_LIP[-1], strict=True)):
        x = width * (k / 10 - 0.5)
        arc = 1.0 - (x / (width / 2)) ** 2
        local[upper], local[lower] = (x, -opening / 2 * arc, 0.0), (x, opening / 2 * arc, 0.0)
    local[UPPER_LIP[0][0]], local[UPPER_LIP[0][-1]] = (-width / 2, 0.0, 0.0), (width / 2, 0.0, 0.0)
    return local


def turned(pitch: float, yaw: float, roll: float) -> Points:
    """float64 (3, 3): rows are the head's axes after a turn by angles as `FaceFrame.pose` has them, degrees.

    In a picture with x to the right, y down and z away from the camera, the right-handed turn about x takes
    y to z (the chin goes back, that is down), about y takes z to x (the nose goes to the left: hence the
    minus), about z takes x to y (clockwise as seen).
    """
    rotation = Rotation.from_euler("ZYX", [roll, yaw, pitch], degrees=True)
    return rotation.as_matrix().T


def picture_of(local: Points, axes: Points, scale: float) -> Points:
    return local @ axes * scale + ORIGIN


@settings(max_examples=60, deadline=None)
@given(st.floats(-35, 35), st.floats(-60, 60), st.floats(-170, 170), st.floats(0.3, 12.0))
def test_scale_axes_origin_and_pose_of_a_head_are_found(
    pitch: float, yaw: float, roll: float, scale: float
) -> None:
    axes = turned(pitch, yaw, roll)
    frame = fit_face_frame(picture_of(head(), axes, scale))
    assert frame.scale == pytest.approx(scale, rel=1e-9)
    assert frame.axes == pytest.approx(axes, abs=1e-9)
    assert frame.origin == pytest.approx(ORIGIN, abs=1e-6)
    assert frame.pose == pytest.approx((pitch, yaw, roll), abs=1e-6)


def moved(pose: tuple[float, float, float], landmark: int) -> Points:
    """Where a turn takes a landmark in the picture, from where it was."""
    local = head()
    return (picture_of(local, turned(*pose), 1.0) - picture_of(local, turned(0, 0, 0), 1.0))[landmark]


def test_positive_pitch_is_the_chin_down() -> None:
    assert fit_face_frame(picture_of(head(), turned(20, 0, 0), 1.0)).pose[0] == pytest.approx(20)
    assert moved((20, 0, 0), CHIN)[2] > 5  # away from the camera
    assert moved((20, 0, 0), FOREHEAD)[2] < -5
    assert moved((20, 0, 0), NOSE_TIP)[1] > 5  # and the nose points down


def test_positive_yaw_is_the_nose_to_the_left_of_the_picture() -> None:
    assert fit_face_frame(picture_of(head(), turned(0, 20, 0), 1.0)).pose[1] == pytest.approx(20)
    assert moved((0, 20, 0), NOSE_TIP)[0] < -5


def test_positive_roll_is_clockwise() -> None:
    assert fit_face_frame(picture_of(head(), turned(0, 0, 20), 1.0)).pose[2] == pytest.approx(20)
    assert moved((0, 0, 20), LEFT_CORNER)[1] > 5  # the eye on the picture's right sinks
    assert moved((0, 0, 20), RIGHT_CORNER)[1] < -5


@pytest.mark.parametrize("flat", [(0.0, 55.0, 0.0), (30.0, 0.0, 0.0)])
def test_scale_survives_a_turn_whose_depth_is_not_seen(flat: tuple[float, float, float]) -> None:
    """Landmarks of a turned head with all depth lost: one of eyes and height is foreshortened, not both."""
    points = picture_of(head(), turned(*flat), 4.0)
    points[:, 2] = 0.0
    assert fit_face_frame(points).scale == pytest.approx(4.0, rel=0.02)


@settings(max_examples=30, deadline=None)
@given(st.floats(-30, 30), st.floats(-40, 40), st.floats(-60, 60), st.integers(0, 2**32 - 1))
def test_to_local_and_to_picture_undo_each_other(pitch: float, yaw: float, roll: float, seed: int) -> None:
    frame = FaceFrame(turned(pitch, yaw, roll), 3.7, ORIGIN)
    points = np.random.default_rng(seed).uniform(-900.0, 900.0, (20, 3))
    assert frame.to_picture(frame.to_local(points)) == pytest.approx(points, abs=1e-9)
    assert frame.to_local(frame.to_picture(points)) == pytest.approx(points, abs=1e-9)


def test_opening_and_width_of_the_mouth_are_measured_in_millimetres() -> None:
    points = picture_of(head(opening=6.0, width=48.0), turned(8, -12, 25), 2.3)
    mouth = rest_mouth(fit_face_frame(points).to_local(points))
    assert mouth.width == pytest.approx(48.0, abs=1e-6)
    assert mouth.opening == pytest.approx(6.0 * (1 - 0.2**2), abs=0.1)  # the median of the middle five
    shut = head(opening=-2.0)
    assert rest_mouth(shut).opening == 0.0  # lips that overlap are closed
