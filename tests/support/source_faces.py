"""A portrait as the SadTalker networks see it, made in one step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import PreprocessMode, Uint8Image
from sadtalker_service.engines.sadtalker.alignment.alignment import AlignedFace, align
from sadtalker_service.engines.sadtalker.alignment.cropping import (
    FaceCrop,
    cut,
    into_square,
    plan_crop,
    shrunk,
    to_square,
)
from sadtalker_service.engines.sadtalker.alignment.landmarks68 import five_points, to_68


@dataclass(frozen=True, eq=False)
class SourceFace:
    """What the renderer and the 3DMM regression are given of a portrait."""

    crop: FaceCrop
    square: Uint8Image
    """uint8 (size, size, 3): the part of the picture that moves, squeezed."""
    aligned: AlignedFace


def prepare_source(
    pixels: Uint8Image, landmarks: NDArray[np.floating], mode: PreprocessMode, size: int
) -> SourceFace:
    """Crop a portrait and align its face.

    Args:
        pixels: uint8 (H, W, 3), upright.
        landmarks: (478, 2 or 3) in its pixels.
        mode: which part of the picture moves.
        size: side of the square, 256 or 512 as the renderer's.

    Raises:
        ValueError: the face is outside of the picture.
    """
    points = to_68(landmarks)
    crop = plan_crop(points, (pixels.shape[1], pixels.shape[0]))
    rect = crop.rectangle(mode)
    square = to_square(cut(shrunk(pixels, crop), rect), size)
    return SourceFace(crop, square, align(square, five_points(into_square(points, crop, rect, size))))
