"""Which part of the portrait is shown, which part moves, and at which resolution.

All rectangles are (x0, y0, x1, y1) in working pixels: the portrait scaled down once so that the video fits
into 1920×1080 (a video is never larger than that) and otherwise as it is.
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
"""Side of the window in units of the aligned face crop."""


@dataclass(frozen=True)
class Canvas:
    """Geometry of a video made from a portrait."""

    scale: float
    """Working pixels per pixel of the portrait, <= 1."""
    window: Rect
    """What the video shows."""
    square: bool
    """Whether the video is `size` × `size` (crop, extcrop and resize) or has the shape of the window."""


def plan_canvas(landmarks: NDArray[np.floating], size: tuple[int, int], mode: PreprocessMode) -> Canvas:
    """The canvas of a mode.

    Args:
        landmarks: float (478, 3), pixels of the portrait.
        size: (width, height) of the portrait.
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
    """The portrait at working resolution."""
    if scale >= 1.0:
        return pixels
    height, width = pixels.shape[:2]
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def _face_square(p: NDArray[np.float64], size: tuple[int, int], factor: float) -> tuple[float, float, float]:
    """Left, top and side of the aligned face crop's bounding square, kept inside the picture.

    The crop of FFHQ (Karras et al. 2019, dataset appendix), which SadTalker uses too: half its side is twice
    the distance of the eyes or 1.8 times that from eyes to mouth, its centre a tenth of the latter below the
    eyes.
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
    corner = np.minimum(np.maximum(corner, oval.max(axis=0) - side), oval.min(axis=0))  # the whole face first
    x0, y0 = np.clip(corner, 0.0, np.array(size) - side)
    return float(x0), float(y0), float(side)
