"""The pictures of an animation (GIF, WebP, APNG, AVIF), as far as they are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from sadtalker_service.domain import Uint8Image
from sadtalker_service.media.image import DECODING_ERRORS, make_upright, reading_errors, to_srgb
from sadtalker_service.media.pixel_limit import check_pixels

FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
"""Those of Pillow's formats whose pictures follow one another in time."""

MOST_FRAMES = 24
"""At most so many frames of an animation or a video are looked at, evenly spread."""

MOST_DECODED = 600
"""Frames beyond this one are not decoded: each needs the ones before it."""

PIXEL_BUDGET = 400_000_000
"""Pixels that may be decoded in all; of large frames fewer are looked at. About two seconds."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of several."""

    pixels: Uint8Image
    """uint8 (H, W, 3) RGB, upright."""
    number: int
    """1 for the first."""
    seconds: float | None = None
    """Since the first, where the file has times."""


def is_animation(data: bytes) -> bool:
    """Whether the bytes are a picture file with several frames."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as picture:
            return getattr(picture, "n_frames", 1) > 1
    except (UnidentifiedImageError, Image.DecompressionBombError, *DECODING_ERRORS):
        return False


def animation_frames(data: bytes, *, max_pixels: int) -> Iterator[Frame]:
    """Up to `MOST_FRAMES` frames, the first of them the first of the animation.

    Ends before the first frame that is damaged. Raises UnreadableImage if that is the first; ImageTooLarge.
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
    """Up to `most` of the numbers 0..total - 1, evenly spread from the first to the last."""
    count = min(total, most)
    return sorted({round(k * (total - 1) / max(1, count - 1)) for k in range(count)})


def frames_within(size: tuple[int, int], most: int, budget: int = PIXEL_BUDGET) -> int:
    """How many frames of this size may be decoded, at least two and at most `most`."""
    return max(2, min(most, budget // max(1, size[0] * size[1])))
