"""Texture-mapped triangles that warp the source image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.kernels.painting import paint_span

LOOK_AHEAD = 16
"""Number of pixel rows by which the source is prefetched ahead of painting. A moving head reaches that
far."""

BAND = 16
"""Number of pixel rows of one frame that are painted before those of the next one."""

TOP_X, TOP_Y, MIDDLE_X, MIDDLE_Y, BOTTOM_Y, LONG, UPPER, LOWER = range(8)
EDGE_FIELDS = 8
"""Number of values that describe the edges of a triangle: three corners from top to bottom, the slope dx/dy
of the long edge, and those of the two short edges."""


class Drawing(NamedTuple):
    """What was computed to paint the triangles of n frames."""

    texels: NDArray[np.uint32]
    edges: NDArray[np.float32]
    """(n, T, EDGE_FIELDS)."""
    planes: NDArray[np.float32]
    """(n, T, 9): u, v and shade of each triangle: at pixel (0, 0), step in x, step in y."""
    rows: NDArray[np.int32]
    """(n, T, 4): the rows that a triangle touches, and those whose centre line it may cover: first, and first
    beyond."""
    active: NDArray[np.int32]
    """(n, M): the triangles that touch each row, in drawing order."""
    starts: NDArray[np.int32]
    """(n, H + 1): where each row begins in `active`."""


@njit(cache=True, nogil=True, fastmath=True)
def draw_triangles(
    texels: NDArray[np.uint32],
    triangles: NDArray[np.int32],
    shaded: NDArray[np.bool_],
    position: NDArray[np.float32],
    texture: NDArray[np.float32],
    shade: NDArray[np.float32],
    frames: NDArray[np.uint8],
) -> Drawing:
    """Paint triangles in order into each of n frames, and skip those that face away.

    Pixel (i, j) covers [i, i + 1) × [j, j + 1) and is painted if its centre is inside. Spans are half open,
    and both triangles compute a shared edge in the same way, so neighbours leave no gap and no overlap. A
    frame is painted row by row, with all triangles of a row in order, and the source rows are prefetched just
    ahead. A few rows of all frames come before the next rows, because they show the same few source rows,
    which the processor's cache then still has.

    Args:
        texels: uint32 (h, w), see `texels.pack`.
        triangles: int32 (T, 3) vertices. All have the same winding seen from the front (negative area, y
            down).
        shaded: bool (T,): whether to multiply by the interpolated `shade`.
        position: float32 (n, V, 2) x, y in pixels of the frames.
        texture: float32 (V, 2) x, y in texels.
        shade: float32 (n, V) 0..256, 256 = unchanged.
        frames: uint8 (n, H, W, 3) RGB, painted in place. What a fourth channel holds in painted pixels is
            not defined.
    """
    drawing = _set_up(texels, triangles, position, texture, shade, frames.shape[1])
    if not len(frames):
        return drawing
    height, width = frames.shape[1], frames.shape[2]
    left = int(texture[0, 0] - np.float32(2.0) * position[0, 0, 0])  # approximate texel of the first pixel
    top = int(texture[0, 1] - np.float32(2.0) * position[0, 0, 1])
    touched = max(top, 0)
    for first in range(0, height, BAND):
        last = min(first + BAND, height)
        until = top + 2 * (last + LOOK_AHEAD)
        touched = _touch(texels, touched, until, left, left + 2 * width, frames)
        for f in range(len(frames)):
            _paint_rows(drawing, f, shaded, frames[f], first, last)
    return drawing


@njit(cache=True, nogil=True, fastmath=True)
def _set_up(
    texels: NDArray[np.uint32],
    triangles: NDArray[np.int32],
    position: NDArray[np.float32],
    texture: NDArray[np.float32],
    shade: NDArray[np.float32],
    height: int,
) -> Drawing:
    """Compute edges and planes, and sort the triangles of each frame into its rows."""
    n, count = position.shape[0], triangles.shape[0]
    edges = np.empty((n, count, EDGE_FIELDS), np.float32)
    planes = np.empty((n, count, 9), np.float32)
    rows = np.zeros((n, count, 4), np.int32)
    starts = np.zeros((n, height + 1), np.int32)
    most = 1
    for f in range(n):
        for t in range(count):
            if _describe(t, triangles, position[f], texture, shade[f], edges[f], planes[f]):
                top, bottom = edges[f, t, TOP_Y], edges[f, t, BOTTOM_Y]
                rows[f, t, 0] = max(int(top), 0)
                rows[f, t, 1] = min(int(max(bottom, np.float32(-1.0))) + 1, height)
                rows[f, t, 2] = _first_centre(top)
                rows[f, t, 3] = _first_centre(bottom)
                for y in range(rows[f, t, 0], rows[f, t, 1]):
                    starts[f, y + 1] += 1
        for y in range(height):
            starts[f, y + 1] += starts[f, y]
        most = max(most, int(starts[f, height]))
    active = np.empty((n, most), np.int32)
    for f in range(n):
        filled = starts[f].copy()
        for t in range(count):
            for y in range(rows[f, t, 0], rows[f, t, 1]):
                active[f, filled[y]] = t
                filled[y] += 1
    return Drawing(texels, edges, planes, rows, active, starts)


@njit(cache=True, nogil=True, fastmath=True)
def _paint_rows(
    drawing: Drawing, f: int, shaded: NDArray[np.bool_], out: NDArray[np.uint8], first: int, last: int
) -> None:
    """Paint the rows from `first` to `last` of frame `f`."""
    edges, planes, rows = drawing.edges[f], drawing.planes[f], drawing.rows[f]
    active, starts = drawing.active[f], drawing.starts[f]
    for y in range(first, last):
        for k in range(starts[y], starts[y + 1]):
            t = active[k]
            if rows[t, 2] <= y < rows[t, 3]:
                x0, x1 = _span(edges, t, np.float32(y + 0.5), out.shape[1])
                if x1 > x0:
                    paint_span(drawing.texels, planes, t, shaded[t], out, y, x0, x1)


@njit(cache=True, nogil=True)
def _touch(
    texels: NDArray[np.uint32], row: int, until: int, left: int, right: int, frames: NDArray[np.uint8]
) -> int:
    """Prefetch texels: read one per cache line, from row `row` on and from column `left` to `right`.

    This order suits the hardware prefetcher. Returns the row to continue from.
    """
    until = min(until, texels.shape[0])
    seen = np.uint32(0)
    for i in range(row, until):
        for j in range(max(left, 0), min(right, texels.shape[1]), 16):
            seen |= texels[i, j]
    if seen >> np.uint32(31):  # never true (texels use 24 bits), but keeps the reads
        frames[0, 0, 0, 0] = 0
    return max(row, until)


@njit(cache=True, nogil=True, inline="always")
def _describe(
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
def _by_height(position: NDArray[np.float32], a: int, b: int, c: int) -> tuple[int, int, int]:
    """Sort the vertices from top to bottom, so that both triangles of an edge order its ends alike."""
    if position[b, 1] < position[a, 1]:
        a, b = b, a
    if position[c, 1] < position[b, 1]:
        b, c = c, b
        if position[b, 1] < position[a, 1]:
            a, b = b, a
    return a, b, c


@njit(cache=True, nogil=True, inline="always")
def _first_centre(edge: float) -> int:
    """First pixel whose centre is beyond an edge, at least 0."""
    return int(max(edge, np.float32(0.0)) + np.float32(0.5))
