"""Paste the moving face back into the full source image without a seam.

The drawn face differs slightly from the source image around it. The difference is largest at the edge of the
square, because the networks cannot see beyond it. So a frame fades into the source image towards its edge.
The mask depends only on the avatar, so a frame costs one scaling and a weighted sum over a narrow band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.alignment.cropping import Rect

_EDGE = 0.016
"""Share of the square's side, at the edge, that shows only the source image: one cell of the coarsest
features."""
_FADE = 0.12
"""Share of the side at which the source image has faded out."""
_AT_BORDER = 2
"""Distance in pixels. A side of the square this near to the border of the source image gets a band of only
twice `_EDGE`. There is nothing beyond the border to join with, and hair that is cut off there moves."""

_FULL = 256
"""Weight of a frame where the source image is fully hidden."""


@dataclass(frozen=True, eq=False)
class Paste:
    """Where frames go in the background, and how they are blended. Computed once per avatar and size."""

    background: Uint8Image
    """uint8 (H, W, 3), H and W even: the background."""
    box: Rect
    """Even coordinates inside the background: the region that frames are drawn into."""
    view: tuple[float, float, float, float]
    """The part of a frame that the box shows: x0, y0, x1, y1 as shares of the frame's side."""
    bands: tuple[Band, ...]
    """Regions where the source image shows through."""

    def frames(self, pictures: Uint8Image) -> Uint8Image:
        """(n, S, S, 3) drawn frames -> (n, h, w, 3), the part that the box shows."""
        x0, y0, x1, y1 = self.box
        out = np.empty((len(pictures), y1 - y0, x1 - x0, 3), np.uint8)
        side = pictures.shape[1]
        left, top, right, bottom = (share * side for share in self.view)
        view = (left, top, right, bottom)
        for picture, target in zip(pictures, out, strict=True):
            scaled = Image.fromarray(picture).resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR, box=view)
            target[:] = np.asarray(scaled)
            for band in self.bands:
                band.blend(target)
        return out


@dataclass(frozen=True, eq=False)
class Band:
    """A rectangle in which the source image and the frame are blended."""

    place: tuple[slice, slice]
    """Rows and columns of the box."""
    weight: NDArray[np.uint16]
    """(h, w, 3) weight of the frame, 0..256."""
    original: NDArray[np.uint16]
    """(h, w, 3): the source image times its own weight, plus a half for rounding."""

    def blend(self, frame: Uint8Image) -> None:
        """Blend the source image into the frame (of the box), in place."""
        mixed = frame[self.place] * self.weight
        mixed += self.original
        mixed >>= 8
        frame[self.place] = mixed


def fill(picture: Uint8Image, size: tuple[int, int]) -> Paste:
    """Frames fill the whole video of `size` (width, height), both even. For the modes without a background.

    The background, uint8 `picture` scaled, is shown before the first frame.
    """
    width, height = size
    background = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    return Paste(background, (0, 0, width, height), (0.0, 0.0, 1.0, 1.0), ())


def paste_into(
    picture: Uint8Image, rectangle: tuple[float, float, float, float], limit: tuple[int, int]
) -> Paste:
    """Paste frames into a source image that the video shows completely.

    Args:
        picture: uint8 (H, W, 3).
        rectangle: the part that frames replace, x0, y0, x1, y1.
        limit: maximum width and height of the video. A larger image is scaled down. An odd last row or column
            is dropped.
    """
    picture, factors = scaled_down(picture, limit)
    background = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
    x0, y0, x1, y1 = (side * factor for side, factor in zip(rectangle, factors * 2, strict=True))
    return plan_paste(np.ascontiguousarray(background), (x0, y0, x1, y1))


def scaled_down(picture: Uint8Image, limit: tuple[int, int]) -> tuple[Uint8Image, tuple[float, float]]:
    """uint8 (H, W, 3) within `limit` (width, height), with the scale factors in x and y."""
    height, width = picture.shape[:2]
    size = size_within((width, height), limit)
    if size == (width, height):
        return picture, (1.0, 1.0)
    scaled = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(scaled), (size[0] / width, size[1] / height)


def size_within(size: tuple[int, int], limit: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of an image of `size`, scaled down to `limit` if it is larger."""
    width, height = size
    factor = min(limit[0] / width, limit[1] / height)
    return size if factor >= 1 else (max(2, round(width * factor)), max(2, round(height * factor)))


def plan_paste(background: Uint8Image, rectangle: tuple[float, float, float, float]) -> Paste:
    """Paste frames that show `rectangle` into a background.

    Args:
        background: uint8 (H, W, 3), H and W even.
        rectangle: x0, y0, x1, y1 in pixels of the background. It may reach one pixel beyond, where an odd row
            or column was dropped.
    """
    height, width = background.shape[:2]
    x0, y0, x1, y1 = rectangle
    box = (_even_up(x0), _even_up(y0), _even_down(min(x1, width)), _even_down(min(y1, height)))
    across = _weights(box[0], box[2], x0, x1, width)
    down = _weights(box[1], box[3], y0, y1, height)
    weight = np.rint(down[:, None] * across[None, :] * _FULL).astype(np.uint16)
    weight = np.repeat(weight[:, :, None], 3, axis=2)  # numpy is slow at stretching a last axis of 1
    original = background[box[1] : box[3], box[0] : box[2]]
    shares = np.array([box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0]) / ([x1 - x0, y1 - y0] * 2)
    left, top, right, bottom = np.clip(shares, 0.0, 1.0).tolist()
    bands = tuple(
        Band(place, weight[place], original[place] * (_FULL - weight[place]) + np.uint16(_FULL // 2))
        for place in _places(down, across)
    )
    return Paste(background, box, (left, top, right, bottom), bands)


def _weights(start: int, stop: int, low: float, high: float, limit: int) -> NDArray[np.float64]:
    """Weights of the pixels start..stop along one axis, in a square low..high: 0 at its edges, 1 inside."""
    place = np.arange(start, stop) + 0.5
    side = high - low
    before = (0.0, 2 * _EDGE) if low <= _AT_BORDER else (_EDGE, _FADE)
    after = (0.0, 2 * _EDGE) if high >= limit - _AT_BORDER else (_EDGE, _FADE)
    return _rising((place - low) / side, *before) * _rising((high - place) / side, *after)


def _rising(share: NDArray[np.floating], start: float, stop: float) -> NDArray[np.float64]:
    """0 up to `start`, 1 from `stop` on. Neither the weight nor its slope jumps."""
    t = np.clip((share - start) / (stop - start), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _places(down: NDArray[np.float64], across: NDArray[np.float64]) -> list[tuple[slice, slice]]:
    """Top, bottom, left and right rectangles, around the one that shows only the frame."""
    rows, columns = _inside(down), _inside(across)
    everywhere = slice(0, len(across))
    places = [
        (slice(0, rows.start), everywhere),
        (slice(rows.stop, len(down)), everywhere),
        (rows, slice(0, columns.start)),
        (rows, slice(columns.stop, len(across))),
    ]
    return [(r, c) for r, c in places if r.stop > r.start and c.stop > c.start]


def _inside(weights: NDArray[np.float64]) -> slice:
    full = np.flatnonzero(np.rint(weights * _FULL) == _FULL)
    return slice(int(full[0]), int(full[-1]) + 1) if len(full) else slice(0, 0)


def _even_up(value: float) -> int:
    return 2 * int(np.ceil(max(value, 0.0) / 2))


def _even_down(value: float) -> int:
    return 2 * int(value // 2)
