"""Cut a rotated square out of an image, with the sampling that the networks were trained and published with.

Smoothing a crop or shifting it by half a pixel moves their output by some tenths of a millimetre. So this
module follows OpenCV's `warpPerspective` for 8-bit images, which MediaPipe uses. It interpolates bilinearly
without smoothing, on a coordinate grid of 1/32 pixel, and rounds half up to whole grey levels. Pixel (0, 0)
of the crop is exactly at the corner of the square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Uint8Image

SUBPIXELS = 32
"""Coordinate steps per pixel."""

Border = Literal["black", "repeat"]


@dataclass(frozen=True)
class Square:
    """A square in an image, rotated about its centre. Pixels; radians, clockwise as seen."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def matrix(self, size: int) -> NDArray[np.float64]:
        """(2, 3): maps pixels (u, v, 1) of a crop of size x size into the image."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        linear = np.array([[cos, -sin], [sin, cos]]) * self.side
        corner = np.array([self.x, self.y]) - linear @ np.array([0.5, 0.5])
        return np.column_stack([linear / size, corner])


def into_picture(matrix: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Map points (..., 2) of a crop to pixels of the image."""
    placed: NDArray[np.float64] = points @ matrix[:, :2].T + matrix[:, 2]
    return placed


def sample(pixels: Uint8Image, matrix: NDArray[np.float64], size: int, border: Border) -> Uint8Image:
    """The crop, uint8 (size, size, 3). Outside the image it is black or repeats the border pixels."""
    height, width = pixels.shape[:2]
    colours = pixels.reshape(-1, 3)
    total = np.full((size * size, 3), SUBPIXELS**2 // 2, np.int32)  # one half, to round half up
    columns = neighbours(matrix[0], size, width, border)
    for row, row_weight in neighbours(matrix[1], size, height, border):
        for column, column_weight in columns:
            total += colours.take(row * width + column, axis=0) * (row_weight * column_weight)[:, None]
    return (total // SUBPIXELS**2).astype(np.uint8).reshape(size, size, 3)


def neighbours(
    row: NDArray[np.float64], size: int, length: int, border: Border
) -> tuple[tuple[NDArray[np.int32], NDArray[np.int32]], ...]:
    """Index and weight (0..32) of the pixels before and after each sample, along one axis of the image."""
    v, u = np.mgrid[:size, :size].reshape(2, -1)
    steps = np.rint((row[0] * u + row[1] * v + row[2]) * SUBPIXELS).astype(np.int32)
    before, part = np.divmod(steps, SUBPIXELS)
    pairs = []
    for index, weight in ((before, SUBPIXELS - part), (before + 1, part)):
        inside = np.clip(index, 0, length - 1)
        pairs.append((inside, weight * (index == inside) if border == "black" else weight))
    return tuple(pairs)
