"""The height of a video, and the warning if it is less than the quality allows."""

from __future__ import annotations

from sadtalker_service.domain import HEIGHT_CAP, width_cap
from sadtalker_service.options import RenderOptions

_FULL_FRAME = ("full", "extfull")


def expected_height(options: RenderOptions, image_size: tuple[int, int]) -> int:
    """Return the lines (an even number) of a video of a source image of this (width, height)."""
    cap = HEIGHT_CAP[options.quality]
    if options.preprocess not in _FULL_FRAME:
        return min(options.size or cap, cap) // 2 * 2
    width, height = image_size
    return max(2, round(height * min(1.0, cap / height, width_cap(options.quality) / width)) // 2 * 2)


def height_remark(options: RenderOptions, image_size: tuple[int, int], made: int | None = None) -> str | None:
    """Return why the video has fewer lines than the quality allows, or None if it does not.

    Args:
        options: options of the request, with the size that the engine uses.
        image_size: (width, height) of the source image, pixels.
        made: lines of the finished video; the expected height if None.
    """
    if options.aspect_ratio and made is None:
        return None  # the window depends on where the head is
    cap, lines = HEIGHT_CAP[options.quality], expected_height(options, image_size) if made is None else made
    if lines >= cap - 1:
        return None
    if options.aspect_ratio:
        why = f"it is a part of the source image in the shape {options.aspect_ratio}"
    elif options.preprocess not in _FULL_FRAME:
        why = f"in mode {options.preprocess} it is a square of size {options.size}"
    elif image_size[0] * 9 > image_size[1] * 16 and image_size[0] * 9 > cap * 16:
        why = "the source image is wider than 16:9, and the width is limited to that of a 16:9 video"
    else:
        why = f"the source image is {image_size[1]} pixels high, and it is not enlarged"
    return f"The video is {lines} pixels high, not the {cap} of quality {options.quality}: {why}."
