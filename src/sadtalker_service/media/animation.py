"""Read the frames of an animation (GIF, WebP, APNG, AVIF) that are examined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from sadtalker_service.domain import Uint8Image
from sadtalker_service.media.image import DECODING_ERRORS, make_upright, reading_errors, to_srgb
from sadtalker_service.media.pixel_limit import check_pixels

FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
"""Pillow formats that can hold a sequence of frames."""

MOST_FRAMES = 24
"""Largest number of frames of an animation or a video that are examined, evenly spaced."""

MOST_DECODED = 600
"""Frames after this one are not decoded, because each needs the frames before it."""

PIXEL_BUDGET = 400_000_000
"""Largest number of pixels to decode, about two seconds of work. Fewer large frames are examined."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a sequence."""

    pixels: Uint8Image
    """uint8 (H, W, 3) RGB, upright."""
    number: int
    """1 for the first."""
    seconds: float | None = None
    """Time since the first frame, if the file has times."""


def is_animation(data: bytes) -> bool:
    """Whether the bytes are an image file with several frames."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as picture:
            return getattr(picture, "n_frames", 1) > 1
    except (UnidentifiedImageError, Image.DecompressionBombError, *DECODING_ERRORS):
        return False


def animation_frames(data: bytes, *, max_pixels: int) -> Iterator[Frame]:
    """Up to `MOST_FRAMES` frames. The first one is the first frame of the animation.

    Ends before the first damaged frame. Raises UnreadableImage if that is the first one, and ImageTooLarge.
    """
    with reading_errors(max_pixels), Image.open(BytesIO(data), formats=FORMATS) as picture:
        check_pixels(picture.size, max_pixels)
        total = min(getattr(picture, "n_frames", 1), frames_within(picture.size, MOST_DECODED))
        for number in spread(total, MOST_FRAMES):
            try:
                picture.seek(number)
                picture.load()
                pixels = to_srgb(make_upright(picture))
            except DECODING_ERRORS:
                if number == 0:
                    raise
                return
            yield Frame(pixels, number + 1)


def spread(total: int, most: int) -> list[int]:
    """Up to `most` of the numbers 0..total - 1, evenly spaced from the first to the last."""
    count = min(total, most)
    return sorted({round(k * (total - 1) / max(1, count - 1)) for k in range(count)})


def frames_within(size: tuple[int, int], most: int, budget: int = PIXEL_BUDGET) -> int:
    """Number of frames of this size that may be decoded, at least two and at most `most`."""
    return max(2, min(most, budget // max(1, size[0] * size[1])))
