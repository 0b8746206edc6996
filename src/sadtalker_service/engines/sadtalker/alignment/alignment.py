"""Align a face to the position and size that the 3DMM regression was trained with.

Least squares of a scaled orthographic camera on five points (Deng et al. 2019, "Accurate 3D Face
Reconstruction with Weakly-Supervised Learning").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sadtalker_service.domain import Uint8Image

SIZE = 224
"""Height and width of the aligned face image."""

_FACE_SCALE = 102.0
"""Pixels per unit of the mean face in the aligned image."""

MEAN_FACE = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ]
)
"""(5, 3) the five points on the model's mean face, y up, z towards the camera."""
MEAN_FACE.setflags(write=False)


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """The input of the 3DMM regression."""

    pixels: Uint8Image
    """uint8 (224, 224, 3) RGB, black outside the source image."""
    placement: NDArray[np.float32]
    """(3,): the applied scale (about 1), and the original position of the face, x and y up in pixels (about
    128). Rows of 73 coefficients end with these three."""


def align(picture: Uint8Image, five: NDArray[np.floating]) -> AlignedFace:
    """The aligned face of an image.

    Args:
        picture: uint8 (H, W, 3), the square that the networks see.
        five: (5, 2) points of `landmarks68.five_points`, in pixels of `picture`.
    """
    height, width = picture.shape[:2]
    points = np.stack([five[:, 0], height - 1 - five[:, 1]], axis=1)
    shift, face_scale = camera(points)
    scale = _FACE_SCALE / face_scale
    w, h = int(width * scale), int(height * scale)
    left = int(w / 2 - SIZE / 2 + (shift[0] - width / 2) * scale)
    up = int(h / 2 - SIZE / 2 + (height / 2 - shift[1]) * scale)
    scaled = Image.fromarray(picture).resize((w, h), Image.Resampling.BICUBIC)
    pixels = np.asarray(scaled.crop((left, up, left + SIZE, up + SIZE)))
    return AlignedFace(pixels, np.array([scale, shift[0], shift[1]], np.float32))


def camera(points: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """Shift (2,) and scale that map the mean face to (5, 2) points with y up.

    The two rows of the projection are independent. Their mean length is the scale.
    """
    homogeneous = np.column_stack([MEAN_FACE, np.ones(len(MEAN_FACE))])
    rows = np.linalg.lstsq(homogeneous, np.asarray(points, np.float64), rcond=None)[0].T
    return rows[:, 3], float(np.linalg.norm(rows[:, :3], axis=1).mean())
