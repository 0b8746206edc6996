"""Which part of the source image is shown, which part moves, and at what resolution.

All rectangles are (x0, y0, x1, y1) in working pixels. Working pixels are those of the source image, scaled
down once if it exceeds 1920×1080. No video is larger than that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sadtalker_service.domain import PreprocessMode, Uint8Image
from sadtalker_service.faces.topology import EYES, LOWER_LIP, OVAL, UPPER_LIP

Rect = tuple[int, int, int, int]

MAX_WIDTH, MAX_HEIGHT = 1920, 1080
MAX_CROP = 1024
"""Largest side of a cropped video, pixels."""

_CROP_SIDE = {"crop": 1.0, "extcrop": 1.4}
"""Side of the window, in sides of the aligned face crop."""


@dataclass(frozen=True)
class Canvas:
    """Geometry of a video made from a source image."""

    scale: float
    """Working pixels per pixel of the source image, <= 1."""
    window: Rect
    """The part that the video shows."""
    square: bool
    """True if the video is `size` × `size` (crop, extcrop and resize), False if it has the window's shape."""


def plan_canvas(landmarks: NDArray[np.floating], size: tuple[int, int], mode: PreprocessMode) -> Canvas:
    """Plan the canvas for a preprocess mode.

    Args:
        landmarks: float (478, 3), pixels of the source image.
        size: (width, height) of the source image.
        mode: see `domain.PreprocessMode`.
    """
    width, height = size
    if mode in _CROP_SIDE:
        x0, y0, side = _face_square(np.asarray(landmarks, np.float64), size, _CROP_SIDE[mode])
        scale = min(1.0, MAX_CROP / side)
        x0, y0, side = round(x0 * scale), round(y0 * scale), round(side * scale)
        return Canvas(scale, (x0, y0, x0 + side, y0 + side), square=True)
    limits = (MAX_CROP, MAX_CROP) if mode == "resize" else (MAX_WIDTH, MAX_HEIGHT)
    scale = min(1.0, limits[0] / width, limits[1] / height)
    return Canvas(
        scale, (0, 0, max(2, round(width * scale)), max(2, round(height * scale))), square=mode == "resize"
    )


def scale_picture(pixels: Uint8Image, scale: float) -> Uint8Image:
    """Scale the source image to working resolution."""
    if scale >= 1.0:
        return pixels
    height, width = pixels.shape[:2]
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def _face_square(p: NDArray[np.float64], size: tuple[int, int], factor: float) -> tuple[float, float, float]:
    """Left, top and side of the bounding square of the aligned face crop, kept inside the image.

    This is the crop of FFHQ (Karras et al. 2019, dataset appendix), which SadTalker uses too. Half its side
    is twice the distance between the eyes, or 1.8 times the distance from eyes to mouth if that is larger.
    Its centre is a tenth of the eye-mouth distance below the eyes.
    """
    eyes = [p[list(eye.contour), :2].mean(axis=0) for eye in EYES]
    mouth = (p[UPPER_LIP[0][0], :2] + p[LOWER_LIP[0][-1], :2]) / 2
    middle = (eyes[0] + eyes[1]) / 2
    down = mouth - middle
    half = factor * float(max(np.linalg.norm(eyes[1] - eyes[0]) * 2.0, np.linalg.norm(down) * 1.8))
    centre = middle + down * 0.1
    side = min(2.0 * half, float(min(size)))
    corner = centre - side / 2
    oval = p[list(OVAL), :2]
    corner = np.minimum(np.maximum(corner, oval.max(axis=0) - side), oval.min(axis=0))  # whole face first
    x0, y0 = np.clip(corner, 0.0, np.array(size) - side)
    return float(x0), float(y0), float(side)
