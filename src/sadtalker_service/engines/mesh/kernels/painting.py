"""Paint the pixels of a triangle on one row."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.kernels.sampling import darkened, put, sample

FULL_SHADE = 256
"""Shade of 1.0, which leaves the source colour unchanged."""


@njit(cache=True, nogil=True, inline="always")
def paint_span(
    texels: NDArray[np.uint32],
    planes: NDArray[np.float32],
    t: int,
    shaded: bool,
    out: NDArray[np.uint8],
    y: int,
    x0: int,
    x1: int,
) -> None:
    """Paint the pixels x0 to x1 of row `y`, which triangle `t` covers.

    Args:
        texels: uint32 (h, w), see `texels.pack`.
        planes: float32 (T, 9), see `raster.Drawing`.
        t: the triangle.
        shaded: whether to multiply by its shade.
        out: uint8 (H, W, 3 or 4), painted in place.
        y, x0, x1: the row, the first pixel, and the first beyond.
    """
    x, yc = np.float32(x0 + 0.5), np.float32(y + 0.5)
    u = _fixed(planes[t, 0] + planes[t, 1] * x + planes[t, 2] * yc)
    v = _fixed(planes[t, 3] + planes[t, 4] * x + planes[t, 5] * yc)
    du, dv = np.int64(planes[t, 1] * np.float32(65536.0)), np.int64(planes[t, 4] * np.float32(65536.0))
    s, ds = np.int64(0), np.int64(0)
    if shaded:
        s = np.int64((planes[t, 6] + planes[t, 7] * x + planes[t, 8] * yc) * np.float32(65536.0))
        ds = np.int64(planes[t, 7] * np.float32(65536.0))
    last = x1 - 1 - x0
    inside = _inside(u, u + du * last, texels.shape[1]) and _inside(v, v + dv * last, texels.shape[0])
    if not inside:
        _paint_beyond(texels, shaded, out, y, x0, x1, u, v, s, du, dv, ds)
        return
    if out.shape[2] == 3:  # four bytes at a time: each pixel but the last is followed by one of this span
        at = (y * out.shape[1] + x0) * 3
        for _ in range(last):
            texel = sample(texels, u, v)
            if shaded:
                texel = darkened(texel, _weight(s))
            put(out, at, texel)
            at, u, v, s = at + 3, u + du, v + dv, s + ds
        x0 = x1 - 1
    for column in range(x0, x1):
        texel = sample(texels, u, v)
        if shaded:
            texel = darkened(texel, _weight(s))
        _put_three(out, y, column, texel)
        u, v, s = u + du, v + dv, s + ds


@njit(cache=True, nogil=True, inline="always")
def _put_three(out: NDArray[np.uint8], y: int, x: int, texel: np.uint32) -> None:
    row, column = np.uintp(y), np.uintp(x)  # unsigned, so numba adds no check for negative indices
    out[row, column, 0] = np.uint8(texel)
    out[row, column, 1] = np.uint8(texel >> np.uint32(8))
    out[row, column, 2] = np.uint8(texel >> np.uint32(16))


@njit(cache=True, nogil=True, inline="always")
def _weight(shade: np.int64) -> np.uint16:
    """uint16 0..256 of a shade in 16.16 fixed point."""
    return np.uint16(min(max(shade >> 16, 0), FULL_SHADE))


@njit(cache=True, nogil=True)
def _paint_beyond(
    texels: NDArray[np.uint32],
    shaded: bool,
    out: NDArray[np.uint8],
    y: int,
    x0: int,
    x1: int,
    u: np.int64,
    v: np.int64,
    shade: np.int64,
    du: np.int64,
    dv: np.int64,
    dshade: np.int64,
) -> None:
    """Like `paint_span`, for a span that leaves the source. Outside, its border pixels repeat."""
    right = np.int64(((texels.shape[1] - 1) << 16) - 1)
    below = np.int64(((texels.shape[0] - 1) << 16) - 1)
    for x in range(x0, x1):
        texel = sample(texels, min(max(u, 0), right), min(max(v, 0), below))
        if shaded:
            texel = darkened(texel, _weight(shade))
        _put_three(out, y, x, texel)
        u += du
        v += dv
        shade += dshade


@njit(cache=True, nogil=True, inline="always")
def _fixed(value: float) -> np.int64:
    """16.16 fixed point plus half a step, so that the sampler's cut to sixteenths rounds to nearest."""
    return np.int64(value * np.float32(65536.0) + np.float32(2048.0))


@njit(cache=True, nogil=True, inline="always")
def _inside(first: np.int64, last: np.int64, limit: int) -> bool:
    return min(first, last) >= 0 and max(first, last) < ((limit - 1) << 16)
