"""Limit on the size of a decoded image."""

from __future__ import annotations

from sadtalker_service.errors import ImageTooLarge


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raises ImageTooLarge if width times height exceeds the limit."""
    if size[0] * size[1] > max_pixels:
        raise ImageTooLarge(f"The image is {size[0]} x {size[1]}. {advice(max_pixels)}")


def advice(max_pixels: int) -> str:
    """Advice for the user about the limit."""
    return f"At most {max_pixels:,} pixels (width times height) are allowed. Save it smaller."
