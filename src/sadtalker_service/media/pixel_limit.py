"""How large a picture may be once it is decoded."""

from __future__ import annotations

from sadtalker_service.errors import ImageTooLarge


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raises ImageTooLarge if width times height is over the limit."""
    if size[0] * size[1] > max_pixels:
        raise ImageTooLarge(f"The picture is {size[0]} x {size[1]}. {advice(max_pixels)}")


def advice(max_pixels: int) -> str:
    """What to do about it."""
    return f"At most {max_pixels:,} pixels are allowed, width times height: save it smaller."
