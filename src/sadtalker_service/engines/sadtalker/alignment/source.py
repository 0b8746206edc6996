"""The size of a video that shows the moving part of a portrait alone."""

from __future__ import annotations

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.engines.sadtalker.alignment.cropping import FaceCrop


def video_size(crop: FaceCrop, mode: PreprocessMode, size: int) -> tuple[int, int]:
    """(width, height), even, of the video in the modes without a picture around: the part of the picture that
    moves, in its own proportions again, `size` wide."""
    x0, y0, x1, y1 = crop.rectangle(mode)
    return size - size % 2, max(2, 2 * round(size * (y1 - y0) / (x1 - x0) / 2))
