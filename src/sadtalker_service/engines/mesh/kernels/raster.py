"""Texture-mapped triangles: the warp of the photo."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.kernels.texels import LANE_HALF, LANE_MASK

FULL_SHADE = 256
"""Shade of 1.0: the source colour as it is."""


@njit(cache=True, nogil=True, fastmath=True)
def draw_triangles(
    texels: NDArray[np.uint64],
    triangles: NDArray[np.int32],
    shaded: NDArray[np.bool_],
    position: NDArray[np.float32],
    texture: NDArray[np.float32],
    shade: NDArray[np.float32],
    out: NDArray[np.uint8],
) -> None:
    """Paint triangles in their order; one that shows its back is left out.

    Pixel (i, j) covers [i, i + 1) × [j, j + 1) and is painted when its centre is inside; spans are half open
    and a shared edge is computed alike for both of its triangles, so neighbours leave neither gap nor overlap.

    Args:
        texels: uint64 (h, w), see `texels.pack`.
        triangles: int32 (T, 3) vertex numbers; seen from the front all turn the same way (negative area, y down).
        shaded: bool (T,): whether to multiply by the interpolated `shade`.
        position: float32 (V, 2) x, y in pixels of `out`.
        texture: float32 (V, 2) x, y in texels.
        shade: float32 (V,) 0..256, 256 = unchanged.
        out: uint8 (H, W, 3) RGB, painted in place.
    """
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux = position[b, 0] - position[a, 0]
        uy = position[b, 1] - position[a, 1]
        vx = position[c, 0] - position[a, 0]
        vy = position[c, 1] - position[a, 1]
        area = ux * vy - uy * vx
        if area > -1e-3:
            continue
        inverse = np.float32(1.0) / area
        # gradients of the texture coordinates and of the shade, per pixel in x and y
        tu_x, tu_y = _gradient(texture[a, 0], texture[b, 0], texture[c, 0], ux, uy, vx, vy, inverse)
        tv_x, tv_y = _gradient(texture[a, 1], texture[b, 1], texture[c, 1], ux, uy, vx, vy, inverse)
        sh_x, sh_y = _gradient(shade[a], shade[b], shade[c], ux, uy, vx, vy, inverse)
        fu_x = np.int64(tu_x * np.float32(65536.0))
        fv_x = np.int64(tv_x * np.float32(65536.0))
        fs_x = np.int64(sh_x * np.float32(65536.0))
        top, middle, bottom = _by_height(position, a, b, c)
        ty, my, by = position[top, 1], position[middle, 1], position[bottom, 1]
        y0 = max(int(np.ceil(ty - 0.5)), 0)
        y1 = min(int(np.ceil(by - 0.5)), out.shape[0])
        if y1 <= y0:
            continue
        long_slope = (position[bottom, 0] - position[top, 0]) / (by - ty)
        upper_slope = (position[middle, 0] - position[top, 0]) / max(my - ty, np.float32(1e-9))
        lower_slope = (position[bottom, 0] - position[middle, 0]) / max(by - my, np.float32(1e-9))
        for y in range(y0, y1):
            yc = np.float32(y + 0.5)
            left = position[top, 0] + (yc - ty) * long_slope
            if yc < my:
                right = position[top, 0] + (yc - ty) * upper_slope
            else:
                right = position[middle, 0] + (yc - my) * lower_slope
            if left > right:
                left, right = right, left
            x0 = max(int(np.ceil(left - 0.5)), 0)
            x1 = min(int(np.ceil(right - 0.5)), out.shape[1])
            if x1 <= x0:
                continue
            dx = np.float32(x0 + 0.5) - position[a, 0]
            dy = yc - position[a, 1]
            fu = _fixed(texture[a, 0] + tu_x * dx + tu_y * dy)
            fv = _fixed(texture[a, 1] + tv_x * dx + tv_y * dy)
            inside = _inside(fu, fu + fu_x * (x1 - 1 - x0), texels.shape[1]) and _inside(
                fv, fv + fv_x * (x1 - 1 - x0), texels.shape[0]
            )
            if shaded[t] or not inside:
                fs = np.int64((shade[a] + sh_x * dx + sh_y * dy) * np.float32(65536.0))
                _paint_shaded(texels, out, y, x0, x1, fu, fv, fs, fu_x, fv_x, fs_x)
            else:
                _paint(texels, out, y, x0, x1, fu, fv, fu_x, fv_x)


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _gradient(
    at_a: float, at_b: float, at_c: float, ux: float, uy: float, vx: float, vy: float, inverse: float
) -> tuple[float, float]:
    p = at_b - at_a
    q = at_c - at_a
    return (p * vy - q * uy) * inverse, (q * ux - p * vx) * inverse


@njit(cache=True, nogil=True, inline="always")
def _by_height(position: NDArray[np.float32], a: int, b: int, c: int) -> tuple[int, int, int]:
    """The vertices from top to bottom: an edge has the same order of ends in both of its triangles."""
    if position[b, 1] < position[a, 1]:
        a, b = b, a
    if position[c, 1] < position[b, 1]:
        b, c = c, b
        if position[b, 1] < position[a, 1]:
            a, b = b, a
    return a, b, c


@njit(cache=True, nogil=True, inline="always")
def sample(texels: NDArray[np.uint64], u: np.int64, v: np.int64) -> np.uint64:
    """Bilinear tap. u, v: texel coordinates as 16.16 fixed point, inside. Returns three 8-bit lanes."""
    x = np.uintp(u >> 16)  # unsigned: no test for indices from the end
    y = np.uintp(v >> 16)
    fx = np.uint64((u >> 12) & 15)
    fy = np.uint64((v >> 12) & 15)
    w11 = fx * fy
    w10 = (fy << np.uint64(4)) - w11
    w01 = (fx << np.uint64(4)) - w11
    w00 = np.uint64(256) - w11 - w10 - w01
    one = np.uintp(1)
    total = texels[y, x] * w00 + texels[y, x + one] * w01
    total += texels[y + one, x] * w10 + texels[y + one, x + one] * w11
    return ((total + LANE_HALF) >> np.uint64(8)) & LANE_MASK


@njit(cache=True, nogil=True, inline="always")
def _fixed(value: float) -> np.int64:
    """16.16 fixed point, moved half a step up so that the sampler's cut to sixteenths rounds to the nearest."""
    return np.int64(value * np.float32(65536.0) + np.float32(2048.0))


@njit(cache=True, nogil=True, inline="always")
def _inside(first: np.int64, last: np.int64, limit: int) -> bool:
    return min(first, last) >= 0 and max(first, last) < ((limit - 1) << 16)


@njit(cache=True, nogil=True)
def _paint(
    texels: NDArray[np.uint64],
    out: NDArray[np.uint8],
    y: int,
    x0: int,
    x1: int,
    u: np.int64,
    v: np.int64,
    du: np.int64,
    dv: np.int64,
) -> None:
    for x in range(np.uintp(x0), np.uintp(x1)):
        lanes = sample(texels, u, v)
        out[y, x, 0] = np.uint8(lanes)
        out[y, x, 1] = np.uint8(lanes >> np.uint64(16))
        out[y, x, 2] = np.uint8(lanes >> np.uint64(32))
        u += du
        v += dv


@njit(cache=True, nogil=True)
def _paint_shaded(
    texels: NDArray[np.uint64],
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
    """As `_paint`, multiplied by the shade; outside of the source its border goes on."""
    right = np.int64(((texels.shape[1] - 1) << 16) - 1)
    below = np.int64(((texels.shape[0] - 1) << 16) - 1)
    for x in range(np.uintp(x0), np.uintp(x1)):
        weight = np.uint64(min(max(shade >> 16, 0), FULL_SHADE))
        lanes = sample(texels, min(max(u, 0), right), min(max(v, 0), below))
        lanes = ((lanes * weight + LANE_HALF) >> np.uint64(8)) & LANE_MASK
        out[y, x, 0] = np.uint8(lanes)
        out[y, x, 1] = np.uint8(lanes >> np.uint64(16))
        out[y, x, 2] = np.uint8(lanes >> np.uint64(32))
        u += du
        v += dv
        shade += dshade
