"""How high a video becomes, and what is said where that is less than the quality allows."""

from __future__ import annotations

from sadtalker_service.domain import HEIGHT_CAP, width_cap
from sadtalker_service.options import RenderOptions

_WHOLE_PICTURE = ("full", "extfull")


def expected_height(options: RenderOptions, photo: tuple[int, int]) -> int:
    """Lines of the video of a photo of this (width, height), even."""
    cap = HEIGHT_CAP[options.quality]
    if options.preprocess not in _WHOLE_PICTURE:
        return min(options.size or cap, cap) // 2 * 2
    width, height = photo
    return max(2, round(height * min(1.0, cap / height, width_cap(options.quality) / width)) // 2 * 2)


def height_remark(options: RenderOptions, photo: tuple[int, int], made: int | None = None) -> str | None:
    """Why the video has fewer lines than the quality allows; None where it has as many.

    Args:
        options: of the request, with the size that the engine uses.
        photo: (width, height), pixels.
        made: lines of the finished video; what is expected if None.
    """
    cap, lines = HEIGHT_CAP[options.quality], expected_height(options, photo) if made is None else made
    if lines >= cap - 1:
        return None
    if options.preprocess not in _WHOLE_PICTURE:
        why = f"in mode {options.preprocess} it is a square of size {options.size}"
    elif photo[0] * 9 > photo[1] * 16 and photo[0] * 9 > cap * 16:
        why = "the photo is wider than 16:9, and the width is limited to that of such a video"
    else:
        why = f"the photo is {photo[1]} high, and it is not enlarged"
    return f"The video is {lines} pixels high, not the {cap} of quality {options.quality}: {why}."
