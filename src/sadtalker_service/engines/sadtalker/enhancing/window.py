"""The part of a drawn square that matches FFHQ, which the face networks were trained on."""

from __future__ import annotations

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.engines.sadtalker.alignment.cropping import FaceCrop
from sadtalker_service.engines.sadtalker.enhancing.port import Window


def face_window(crop: FaceCrop, mode: PreprocessMode) -> Window:
    """The FFHQ window within the square of a preprocess mode.

    The window is as wide as it is high. If the image border cut it off, the full window is restored, so that
    the face regains its proportions. It then reaches beyond the square.
    """
    x0, y0, x1, y1 = crop.rectangle("crop")
    side = max(x1 - x0, y1 - y0)
    left, top, right, bottom = crop.rectangle(mode)
    columns = _whole(x0, x1, side, crop.size[0])
    rows = _whole(y0, y1, side, crop.size[1])
    return (
        (columns[0] - left) / (right - left),
        (rows[0] - top) / (bottom - top),
        (columns[1] - left) / (right - left),
        (rows[1] - top) / (bottom - top),
    )


def _whole(start: int, stop: int, side: int, limit: int) -> tuple[float, float]:
    """start..stop along one axis as it was before it was cut off at 0 or at `limit`."""
    missing = side - (stop - start)
    before, after = start <= 0, stop >= limit
    if before and after:
        return start - missing / 2, stop + missing / 2
    return (start - missing if before else start), (stop + missing if after else stop)
