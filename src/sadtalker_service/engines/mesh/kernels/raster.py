"""Texture-mapped triangles that warp the source image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.kernels.texels import LANE_HALF, LANE_MASK

FULL_SHADE = 256
"""Shade of 1.0, which leaves the source colour unchanged."""

LOOK_AHEAD = 16
"""Number of pixel rows by which the source is prefetched ahead of painting. A moving head reaches that
far."""

_1 = np.uintp(1)

TOP_X, TOP_Y, MIDDLE_X, MIDDLE_Y, BOTTOM_Y, LONG, UPPER, LOWER = range(8)
EDGE_FIELDS = 8
"""Number of values that describe the edges of a triangle: three corners from top to bottom, the slope dx/dy
of the long edge, and those of the two short edges."""


class Drawing(NamedTuple):
    """What was computed to paint triangles."""

    texels: NDArray[np.uint64]
    edges: NDArray[np.float32]
    """(T, EDGE_FIELDS)."""
    planes: NDArray[np.float32]
    """(T, 9): u, v and shade of each triangle: at pixel (0, 0), step in x, step in y."""
    active: NDArray[np.int32]
    """The triangles that touch each row, in drawing order."""
    starts: NDArray[np.int32]
    """(H + 1,): where each row begins in `active`."""


@njit(cache=True, nogil=True, fastmath=True)
def draw_triangles(
    texels: NDArray[np.uint64],
    triangles: NDArray[np.int32],
    shaded: NDArray[np.bool_],
    position: NDArray[np.float32],
    texture: NDArray[np.float32],
    shade: NDArray[np.float32],
    out: NDArray[np.uint8],
) -> Drawing:
    """Paint triangles in order and skip those that face away.

    Pixel (i, j) covers [i, i + 1) × [j, j + 1) and is painted if its centre is inside. Spans are half open,
    and both triangles compute a shared edge in the same way, so neighbours leave no gap and no overlap. The
    image is painted row by row, with all triangles of a row in order, and the source rows are prefetched just
    ahead. This is a sixth to a quarter faster than painting triangle by triangle.

    Args:
        texels: uint64 (h, w), see `texels.pack`.
        triangles: int32 (T, 3) vertices. All have the same winding seen from the front (negative area, y
            down).
        shaded: bool (T,): whether to multiply by the interpolated `shade`.
        position: float32 (V, 2) x, y in pixels of `out`.
        texture: float32 (V, 2) x, y in texels.
        shade: float32 (V,) 0..256, 256 = unchanged.
        out: uint8 (H, W, 3) RGB, painted in place.
    """
    count = triangles.shape[0]
    edges = np.empty((count, EDGE_FIELDS), np.float32)
    planes = np.empty((count, 9), np.float32)
    rows = np.zeros((count, 2), np.int32)  # touched
    centres = np.zeros((count, 2), np.int32)  # of which the centre line is inside
    starts = np.zeros(out.shape[0] + 1, np.int32)  # start of each row's triangles in `active`
    for t in range(count):
        if _set_up(t, triangles, position, texture, shade, edges, planes):
            centres[t, 0] = _first_centre(edges[t, TOP_Y])
            centres[t, 1] = _first_centre(edges[t, BOTTOM_Y])
            rows[t, 0] = max(int(edges[t, TOP_Y]), 0)
            rows[t, 1] = min(int(max(edges[t, BOTTOM_Y], np.float32(-1.0))) + 1, out.shape[0])
            for y in range(rows[t, 0], rows[t, 1]):
                starts[y + 1] += 1
    for y in range(out.shape[0]):
        starts[y + 1] += starts[y]
    active = np.empty(max(int(starts[out.shape[0]]), 1), np.int32)
    filled = starts.copy()
    for t in range(count):
        for y in range(rows[t, 0], rows[t, 1]):
            active[filled[y]] = t
            filled[y] += 1
    left = int(texture[0, 0] - np.float32(2.0) * position[0, 0])  # approximate texel of the first pixel
    top = int(texture[0, 1] - np.float32(2.0) * position[0, 1])
    touched = max(top, 0)
    for y in range(out.shape[0]):
        touched = _touch(texels, touched, top + 2 * (y + LOOK_AHEAD), left, left + 2 * out.shape[1], out)
        for k in range(starts[y], starts[y + 1]):
            t = active[k]
            if y < centres[t, 0] or y >= centres[t, 1]:
                continue
            x0, x1 = _span(edges, t, np.float32(y + 0.5), out.shape[1])
            if x1 > x0:
                _paint(texels, planes, t, shaded[t], out, y, x0, x1)
    return Drawing(texels, edges, planes, active, starts)


@njit(cache=True, nogil=True)
def _touch(
    texels: NDArray[np.uint64], row: int, until: int, left: int, right: int, out: NDArray[np.uint8]
) -> int:
    """Prefetch texels: read one per cache line, from row `row` on and from column `left` to `right`.

    This order suits the hardware prefetcher. Returns the row to continue from.
    """
    until = min(until, texels.shape[0])
    seen = np.uint64(0)
    for i in range(row, until):
        for j in range(max(left, 0), min(right, texels.shape[1]), 8):
            seen |= texels[i, j]
    if seen >> np.uint64(63):  # never true (texels use 40 bits), but keeps the reads
        out[0, 0, 0] = 0
    return max(row, until)


@njit(cache=True, nogil=True, inline="always")
def _set_up(
    t: int,
    triangles: NDArray[np.int32],
    position: NDArray[np.float32],
    texture: NDArray[np.float32],
    shade: NDArray[np.float32],
    edges: NDArray[np.float32],
    planes: NDArray[np.float32],
) -> bool:
    """Compute the edges of a triangle, and the planes of u, v and shade over it.

    A plane is the value at pixel (0, 0), the step in x and the step in y. Returns False if the triangle faces
    away.
    """
    a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
    ax, ay = position[a, 0], position[a, 1]
    ux, uy = position[b, 0] - ax, position[b, 1] - ay
    vx, vy = position[c, 0] - ax, position[c, 1] - ay
    area = ux * vy - uy * vx
    if area > -1e-3:
        return False
    inverse = np.float32(1.0) / area
    for k in range(3):
        if k < 2:
            at_a, at_b, at_c = texture[a, k], texture[b, k], texture[c, k]
        else:
            at_a, at_b, at_c = shade[a], shade[b], shade[c]
        p, q = at_b - at_a, at_c - at_a
        in_x = (p * vy - q * uy) * inverse
        in_y = (q * ux - p * vx) * inverse
        planes[t, 3 * k] = at_a - in_x * ax - in_y * ay
        planes[t, 3 * k + 1] = in_x
        planes[t, 3 * k + 2] = in_y
    top, middle, bottom = _by_height(position, a, b, c)
    ty, my, by = position[top, 1], position[middle, 1], position[bottom, 1]
    edges[t, TOP_X], edges[t, TOP_Y] = position[top, 0], ty
    edges[t, MIDDLE_X], edges[t, MIDDLE_Y] = position[middle, 0], my
    edges[t, BOTTOM_Y] = by
    tiny = np.float32(1e-9)
    edges[t, LONG] = (position[bottom, 0] - position[top, 0]) / max(by - ty, tiny)
    edges[t, UPPER] = (position[middle, 0] - position[top, 0]) / max(my - ty, tiny)
    edges[t, LOWER] = (position[bottom, 0] - position[middle, 0]) / max(by - my, tiny)
    return True


@njit(cache=True, nogil=True, inline="always")
def _span(edges: NDArray[np.float32], t: int, y: float, width: int) -> tuple[int, int]:
    """First pixel inside and first pixel beyond, on the row whose centres are at height y."""
    left = edges[t, TOP_X] + (y - edges[t, TOP_Y]) * edges[t, LONG]
    if y <= edges[t, MIDDLE_Y]:
        right = edges[t, TOP_X] + (y - edges[t, TOP_Y]) * edges[t, UPPER]
    else:
        right = edges[t, MIDDLE_X] + (y - edges[t, MIDDLE_Y]) * edges[t, LOWER]
    return _first_centre(min(left, right)), min(_first_centre(max(left, right)), width)


@njit(cache=True, nogil=True, inline="always")
def _paint(
    texels: NDArray[np.uint64],
    planes: NDArray[np.float32],
    t: int,
    shaded: bool,
    out: NDArray[np.uint8],
    y: int,
    x0: int,
    x1: int,
) -> None:
    x, yc = np.float32(x0 + 0.5), np.float32(y + 0.5)
    u = _fixed(planes[t, 0] + planes[t, 1] * x + planes[t, 2] * yc)
    v = _fixed(planes[t, 3] + planes[t, 4] * x + planes[t, 5] * yc)
    du, dv = np.int64(planes[t, 1] * np.float32(65536.0)), np.int64(planes[t, 4] * np.float32(65536.0))
    last = x1 - 1 - x0
    inside = _inside(u, u + du * last, texels.shape[1]) and _inside(v, v + dv * last, texels.shape[0])
    if shaded or not inside:
        s = np.int64((planes[t, 6] + planes[t, 7] * x + planes[t, 8] * yc) * np.float32(65536.0))
        _paint_shaded(texels, out, y, x0, x1, u, v, s, du, dv, np.int64(planes[t, 7] * np.float32(65536.0)))
        return
    row = np.uintp(y)
    for column in range(x0, x1):
        i, j = np.uintp(v >> 16), np.uintp(u >> 16)  # unsigned, so numba adds no check for negative indices
        lanes = blend(texels[i, j], texels[i, j + _1], texels[i + _1, j], texels[i + _1, j + _1], u, v)
        out[row, np.uintp(column), 0] = np.uint8(lanes)
        out[row, np.uintp(column), 1] = np.uint8(lanes >> np.uint64(16))
        out[row, np.uintp(column), 2] = np.uint8(lanes >> np.uint64(32))
        u += du
        v += dv


@njit(cache=True, nogil=True, inline="always")
def _by_height(position: NDArray[np.float32], a: int, b: int, c: int) -> tuple[int, int, int]:
    """Sort the vertices from top to bottom, so that both triangles of an edge order its ends alike."""
    if position[b, 1] < position[a, 1]:
        a, b = b, a
    if position[c, 1] < position[b, 1]:
        b, c = c, b
        if position[b, 1] < position[a, 1]:
            a, b = b, a
    return a, b, c


@njit(cache=True, nogil=True)
def blend(a: np.uint64, b: np.uint64, c: np.uint64, d: np.uint64, u: np.int64, v: np.int64) -> np.uint64:
    """Bilinear mean of four neighbours (a b above c d) at the fractions of the 16.16 coordinates u, v.

    It takes single texels instead of the array, because numba would count the array's references per pixel.
    Returns three 8-bit lanes.
    """
    fx = np.uint64((u >> 12) & 15)
    fy = np.uint64((v >> 12) & 15)
    w11 = fx * fy
    w10 = (fy << np.uint64(4)) - w11
    w01 = (fx << np.uint64(4)) - w11
    w00 = np.uint64(256) - w11 - w10 - w01
    return ((a * w00 + b * w01 + c * w10 + d * w11 + LANE_HALF) >> np.uint64(8)) & LANE_MASK


@njit(cache=True, nogil=True, inline="always")
def _first_centre(edge: float) -> int:
    """First pixel whose centre is beyond an edge, at least 0."""
    return int(max(edge, np.float32(0.0)) + np.float32(0.5))


@njit(cache=True, nogil=True, inline="always")
def _fixed(value: float) -> np.int64:
    """16.16 fixed point plus half a step, so that the sampler's cut to sixteenths rounds to nearest."""
    return np.int64(value * np.float32(65536.0) + np.float32(2048.0))


@njit(cache=True, nogil=True, inline="always")
def _inside(first: np.int64, last: np.int64, limit: int) -> bool:
    return min(first, last) >= 0 and max(first, last) < ((limit - 1) << 16)


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
    """Like `_paint`, but multiplied by the shade. Outside the source, its border pixels repeat."""
    right = np.int64(((texels.shape[1] - 1) << 16) - 1)
    below = np.int64(((texels.shape[0] - 1) << 16) - 1)
    for x in range(np.uintp(x0), np.uintp(x1)):
        weight = np.uint64(min(max(shade >> 16, 0), FULL_SHADE))
        uc, vc = min(max(u, 0), right), min(max(v, 0), below)
        i, j = np.uintp(vc >> 16), np.uintp(uc >> 16)
        lanes = blend(texels[i, j], texels[i, j + _1], texels[i + _1, j], texels[i + _1, j + _1], uc, vc)
        lanes = ((lanes * weight + LANE_HALF) >> np.uint64(8)) & LANE_MASK
        out[y, x, 0] = np.uint8(lanes)
        out[y, x, 1] = np.uint8(lanes >> np.uint64(16))
        out[y, x, 2] = np.uint8(lanes >> np.uint64(32))
        u += du
        v += dv
        shade += dshade
