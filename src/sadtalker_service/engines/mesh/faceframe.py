"""Coordinate system of the head, in millimetres.

x runs along the eyes from the person's right to their left, y from the forehead to the chin, and z away from
the camera. The origin is the middle of the mouth. The scale assumes 90 mm between the outer eye corners or
178 mm from the top of the face to the chin, whichever appears larger in the image. Turning or nodding the
head foreshortens one of the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.faces.topology import LOWER_LIP, RIGHT_EYE, UPPER_LIP

OUTER_EYE_CORNERS_MM = 90.0
FACE_HEIGHT_MM = 178.0

_FOREHEAD, _CHIN = 10, 152
_LEFT_OUTER_CORNER, _RIGHT_OUTER_CORNER = 263, RIGHT_EYE.corners[0]
_LIP_MIDDLE = (UPPER_LIP[-1][5], LOWER_LIP[-1][5])
_MOUTH_CORNERS = (UPPER_LIP[0][0], UPPER_LIP[0][-1])


@dataclass(frozen=True, eq=False)
class FaceFrame:
    """Axes, scale and origin of a head in an image."""

    axes: NDArray[np.float64]
    """float64 (3, 3): the rows are the unit vectors x, y, z of the head in image coordinates."""
    scale: float
    """Pixels per millimetre."""
    origin: NDArray[np.float64]
    """float64 (3,): middle of the mouth, pixels."""

    def to_local(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Convert image coordinates (n, 3) in pixels to head coordinates (n, 3) in millimetres."""
        return (np.asarray(points, np.float64) - self.origin) @ self.axes.T / self.scale

    def to_picture(self, local: NDArray[np.floating]) -> NDArray[np.float64]:
        """Convert head coordinates (n, 3) in millimetres to image coordinates (n, 3) in pixels."""
        return np.asarray(local, np.float64) @ self.axes * self.scale + self.origin

    @property
    def pose(self) -> tuple[float, float, float]:
        """Pitch, yaw, roll of the head in degrees, applied in this order.

        Positive means chin down, nose to the left of the image, and clockwise as seen. The motion controls
        use the same signs.
        """
        x, y, z = self.axes
        pitch = np.degrees(np.arctan2(y[2], z[2]))
        yaw = np.degrees(np.arctan2(-x[2], np.hypot(x[0], x[1])))
        roll = np.degrees(np.arctan2(x[1], x[0]))
        return float(pitch), float(yaw), float(roll)


@dataclass(frozen=True)
class RestMouth:
    """The mouth as it is in the source image."""

    opening: float
    """Distance between the inner lips, mm, >= 0."""
    width: float
    """Distance between the outer corners, mm."""

    @property
    def toothy(self) -> float:
        """How much the mouth is an open smile, 0..1.

        In such a smile the lips open the mouth more than the jaw does.
        """
        return float(np.clip((self.opening - 2.0) / 4.0, 0.0, 1.0))

    @property
    def jaw_opening(self) -> float:
        """Part of the opening that comes from the jaw, mm."""
        return (1.0 - 0.75 * self.toothy) * self.opening


def fit_face_frame(landmarks: NDArray[np.floating]) -> FaceFrame:
    """Fit the face frame to 478 landmarks, float (478, 3) in pixels."""
    p = np.asarray(landmarks, np.float64)
    across = p[_LEFT_OUTER_CORNER] - p[_RIGHT_OUTER_CORNER]
    down = p[_CHIN] - p[_FOREHEAD]
    x = across / np.linalg.norm(across)
    y = down - x * (x @ down)
    y /= np.linalg.norm(y)
    scale = max(np.linalg.norm(across) / OUTER_EYE_CORNERS_MM, np.linalg.norm(down) / FACE_HEIGHT_MM)
    upper, lower = _LIP_MIDDLE
    return FaceFrame(np.stack([x, y, np.cross(x, y)]), float(scale), (p[upper] + p[lower]) / 2)


def rest_mouth(local: NDArray[np.floating]) -> RestMouth:
    """Opening and width of the mouth, from 478 landmarks in head coordinates (mm)."""
    gaps = [local[b, 1] - local[a, 1] for a, b in zip(UPPER_LIP[-1][3:8], LOWER_LIP[-1][3:8], strict=True)]
    right, left = _MOUTH_CORNERS
    return RestMouth(max(0.0, float(np.median(gaps))), float(local[left, 0] - local[right, 0]))
