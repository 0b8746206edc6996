"""Put what an engine has cut out in front of a colour or a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numba import njit
from PIL import Image, ImageOps

from sadtalker_service.domain import Rendering, Uint8Image
from sadtalker_service.errors import InvalidOption


def in_front_of(rendering: Rendering, background: str, picture: Uint8Image | None) -> Rendering:
    """An RGBA rendering in front of `background`, as RGB.

    `background`: `#rrggbb`, or the name of `picture` (uint8 (h, w, 3) RGB), which is scaled and cut so that
    it covers everything. Raises `InvalidOption` if there is no such picture.
    """
    height, width = rendering.background.shape[:2]
    if background.startswith("#"):
        colour = np.frombuffer(bytes.fromhex(background[1:]), np.uint8)
        behind = np.empty((height, width, 3), np.uint8)
        behind[:] = colour
    elif picture is not None:
        behind = covering(picture, (width, height))
    else:
        raise InvalidOption("The picture of the background is missing. Send it again.", param="background")
    return laid_over(rendering, behind)


def laid_over(rendering: Rendering, behind: Uint8Image) -> Rendering:
    """An RGBA rendering in front of `behind`, uint8 (H, W, 3) RGB of the same size, as RGB."""
    whole = np.empty_like(behind)
    _lay_over(np.ascontiguousarray(rendering.background), behind, whole)
    return replace(rendering, background=whole, batches=_batches(rendering, behind))


def covering(picture: Uint8Image, size: tuple[int, int]) -> Uint8Image:
    """The middle of a picture, as large as possible, at this (width, height)."""
    return np.array(ImageOps.fit(Image.fromarray(picture), size, Image.Resampling.LANCZOS))


def _batches(rendering: Rendering, behind: Uint8Image) -> Iterator[Uint8Image]:
    x0, y0, x1, y1 = rendering.box
    part = np.ascontiguousarray(behind[y0:y1, x0:x1])
    out = np.empty((0, *part.shape), np.uint8)
    for batch in rendering.batches:
        if len(out) < len(batch):
            out = np.empty((len(batch), *part.shape), np.uint8)
        for frame, laid in zip(batch, out, strict=False):
            _lay_over(np.ascontiguousarray(frame), part, laid)
        yield out[: len(batch)]


@njit(cache=True, nogil=True)
def _lay_over(front: Uint8Image, behind: Uint8Image, out: Uint8Image) -> None:
    """out = front where it is opaque, behind where it is not. uint8 (H, W, 4), (H, W, 3), (H, W, 3)."""
    for y in range(front.shape[0]):
        for x in range(front.shape[1]):
            alpha = np.int32(front[y, x, 3])
            for c in range(3):
                mixed = np.int32(front[y, x, c]) * alpha + np.int32(behind[y, x, c]) * (255 - alpha) + 128
                out[y, x, c] = np.uint8((mixed + (mixed >> 8)) >> 8)
