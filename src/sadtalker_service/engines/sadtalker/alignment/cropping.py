"""The part of a source image that the networks see, and that part as a square.

The window around the face is that of FFHQ (Karras et al. 2019, dataset appendix): rotated with the face and
sized by the eyes and the mouth. The networks were trained with its upright bounding box, cut off at the image
border and squeezed into a square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sadtalker_service.domain import PreprocessMode, Uint8Image
from sadtalker_service.engines.sadtalker.alignment.landmarks68 import (
    LEFT_EYE,
    LEFT_MOUTH_CORNER,
    RIGHT_EYE,
    RIGHT_MOUTH_CORNER,
)

Rect = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels. x1 and y1 are exclusive."""

_STEPS = 2048
_FFHQ_SIDE = 512
"""If the window is more than four times this side, the image is scaled down before cropping."""


@dataclass(frozen=True)
class FaceCrop:
    """Position of the face in an image scaled down by `shrink`."""

    shrink: int
    """1, or more for a very large face: the factor by which the image is made smaller (`shrunk`)."""
    size: tuple[int, int]
    """(width, height) of the image after that. Everything else is in its pixels."""
    wide: Rect
    """The window and a tenth around it, inside the image. `extcrop` and `extfull` move this part."""
    quad: tuple[float, float, float, float]
    """x0, y0, x1, y1 of the window, relative to the corner of `wide` and inside it."""

    def rectangle(self, mode: PreprocessMode) -> Rect:
        """The part that moves in a preprocess mode."""
        if mode == "resize":
            return 0, 0, *self.size
        if mode in ("extcrop", "extfull"):
            return self.wide
        x, y = self.wide[:2]
        x0, y0, x1, y1 = (int(side) for side in self.quad)
        return x + x0, y + y0, x + x1, y + y1


def plan_crop(landmarks: NDArray[np.floating], size: tuple[int, int]) -> FaceCrop:
    """The crop of a face.

    Args:
        landmarks: (68, 2) in pixels of the source image.
        size: (width, height) of the source image.

    Raises:
        ValueError: the face is outside the source image.
    """
    quad = _window(np.asarray(landmarks, np.float64))
    side = float(np.hypot(*(quad[3] - quad[0])))
    shrink = int(side / _FFHQ_SIDE / 2)
    if shrink > 1:
        size = (round(size[0] / shrink), round(size[1] / shrink))
        quad, side = quad / shrink, side / shrink
    else:
        shrink = 1
    width, height = size
    border = max(round(side * 0.1), 3)
    low, high = np.floor(quad.min(axis=0)), np.ceil(quad.max(axis=0))
    x0, y0 = max(int(low[0]) - border, 0), max(int(low[1]) - border, 0)
    x1, y1 = min(int(high[0]) + border, width), min(int(high[1]) + border, height)
    if x1 - x0 < 2 or y1 - y0 < 2:
        raise ValueError(f"The face is outside the image: {(x0, y0, x1, y1)} in {width} x {height}.")
    return FaceCrop(shrink, size, (x0, y0, x1, y1), _upright(quad + 0.5 - (x0, y0), (x1 - x0, y1 - y0)))


def _window(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 2) corners: upper left, lower left, lower right, upper right, rotated with the face."""
    left, right = p[LEFT_EYE].mean(axis=0), p[RIGHT_EYE].mean(axis=0)
    eyes, between = (left + right) / 2, right - left
    mouth = (p[LEFT_MOUTH_CORNER] + p[RIGHT_MOUTH_CORNER]) / 2 - eyes
    x = between + np.array([mouth[1], -mouth[0]])
    x *= max(np.hypot(*between) * 2.0, np.hypot(*mouth) * 1.8) / np.hypot(*x)
    y = np.array([-x[1], x[0]])
    centre = eyes + mouth * 0.1
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def _upright(quad: NDArray[np.float64], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The bounding box of the corners, two by two, within the wide crop of `size`.

    The original limits both the right and the bottom side by the width of the whole image. Tall images lose
    the chin there, and near the lower border the box is larger than the cut region.
    """
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = quad.tolist()
    return max(min(ax, bx), 0.0), max(min(ay, dy), 0.0), min(max(cx, dx), size[0]), min(max(by, cy), size[1])


def shrunk(pixels: Uint8Image, crop: FaceCrop) -> Uint8Image:
    """The image that the crop's rectangles refer to."""
    if crop.shrink == 1:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(crop.size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def cut(picture: Uint8Image, rect: Rect) -> Uint8Image:
    """A rectangle of an image (H, W, 3), as a view."""
    x0, y0, x1, y1 = rect
    return picture[y0:y1, x0:x1]


def to_square(region: Uint8Image, size: int) -> Uint8Image:
    """(h, w, 3) squeezed to (size, size, 3), bilinear, as in the training of the networks.

    Bilinear interpolation alone skips pixels when it shrinks an image by more than half. Such regions are
    first averaged down by whole factors.
    """
    height, width = region.shape[:2]
    steps = (max(1, width // size), max(1, height // size))
    if max(steps) > 1:
        region = np.asarray(Image.fromarray(region).reduce(steps))
    rows, columns = (_taps(length, size) for length in region.shape[:2])
    colours = region.astype(np.int32)
    first, second = (colours[:, index] * share[:, None] for index, share in columns)
    across = first + second >> 4
    upper, lower = (across[index] * share[:, None, None] >> 16 for index, share in rows)
    return (upper + lower + 2 >> 2).astype(np.uint8)


def into_square(points: NDArray[np.floating], crop: FaceCrop, rect: Rect, size: int) -> NDArray[np.float64]:
    """Landmarks (..., 2) in the original source image -> pixels of the square made from `rect`."""
    x0, y0, x1, y1 = rect
    scale = np.array([size / (x1 - x0), size / (y1 - y0)])
    placed: NDArray[np.float64] = (np.asarray(points, np.float64)[..., :2] / crop.shrink - (x0, y0)) * scale
    return placed


def video_size(crop: FaceCrop, mode: PreprocessMode, size: int) -> tuple[int, int]:
    """(width, height), even, of the video in the modes without a background: the moving part of the source
    image in its own proportions, `size` wide."""
    x0, y0, x1, y1 = crop.rectangle(mode)
    return size - size % 2, max(2, 2 * round(size * (y1 - y0) / (x1 - x0) / 2))


def _taps(length: int, size: int) -> tuple[tuple[NDArray[np.intp], NDArray[np.int32]], ...]:
    """The two of `length` pixels that each of `size` lies between, with their shares.

    In steps of 1/2048, like OpenCV's resize of 8-bit images, which made the training images.
    """
    place = np.clip((np.arange(size) + 0.5) * (length / size) - 0.5, 0.0, length - 1.0)
    before = place.astype(np.intp)
    share = np.rint((place - before) * _STEPS).astype(np.int32)
    return (before, _STEPS - share), (np.minimum(before + 1, length - 1), share)
