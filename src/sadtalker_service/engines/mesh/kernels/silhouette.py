"""Soft outline of a turned head.

Where the head turns away, the last visible triangle covers what is behind it, and what is beside its edge is
pressed into less than a pixel: the outline is a staircase. Such edges are found in every frame. The few
pixels along them are painted again with eight samples each.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.kernels.raster import (
    BOTTOM_Y,
    LONG,
    LOWER,
    MIDDLE_X,
    MIDDLE_Y,
    TOP_X,
    TOP_Y,
    UPPER,
    Drawing,
)
from sadtalker_service.engines.mesh.kernels.sampling import blend

_PRESSED = np.float32(0.3 / 4.0)
"""A triangle with less than this share of its area in texels, four of which are a pixel, makes an edge."""
_SPANS = 6
"""Most stretches of outline in a row."""
_ACROSS, _DOWN = 4, 2
_REACH = np.float32(1.5)
"""Pixels on both sides of an edge."""
_VISIBLE = 45
"""Difference of two neighbours, summed over the channels, from which an edge is painted again."""
_WIDEST = 40
"""Longest stretch, pixels. Longer ones are edges that lie flat."""


def shared_edges(triangles: NDArray[np.int32], first: int, without: NDArray[np.int32]) -> NDArray[np.int32]:
    """Edges between two triangles.

    Args:
        triangles: int32 (T, 3).
        first: triangles before this one are holes, which have no outline.
        without: int32 (n,): vertices of lips and lids, which are pressed without being an outline.

    Returns:
        int32 (E, 4): both ends, then both triangles.
    """
    body = triangles[first:]
    ends = np.concatenate([body[:, [0, 1]], body[:, [1, 2]], body[:, [2, 0]]])
    owner = np.tile(np.arange(first, len(triangles)), 3)
    ends.sort(axis=1)
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    ends, owner = ends[order], owner[order]
    shared = (ends[1:] == ends[:-1]).all(axis=1) & ~np.isin(ends[1:], without).any(axis=1)
    pair = np.flatnonzero(shared)
    return np.concatenate([ends[pair], owner[pair, None], owner[pair + 1, None]], axis=1).astype(np.int32)


@njit(cache=True, nogil=True, fastmath=True)
def soften_outline(
    drawing: Drawing,
    f: int,
    shared: NDArray[np.int32],
    triangles: NDArray[np.int32],
    position: NDArray[np.float32],
    texture: NDArray[np.float32],
    out: NDArray[np.uint8],
) -> None:
    """Soften the outline that `draw_triangles` drew in one frame.

    Args:
        drawing: what `draw_triangles` returned.
        f: number of the frame.
        shared: int32 (E, 4), see `shared_edges`.
        triangles, texture: as of `draw_triangles`.
        position, out: the same of this frame.
    """
    spans = np.zeros((out.shape[0], _SPANS, 2), np.int32)
    counts = np.zeros(out.shape[0], np.int32)
    facing = np.empty(triangles.shape[0], np.bool_)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        at_rest = _area(texture, a, b, c)  # a triangle that faces away in the source image makes no edge
        facing[t] = at_rest >= 0.0 or _area(position, a, b, c) < _PRESSED * at_rest
    any_edge = False
    for e in range(shared.shape[0]):
        if facing[shared[e, 2]] != facing[shared[e, 3]]:
            any_edge = True
            _mark(position[shared[e, 0]], position[shared[e, 1]], spans, counts, out.shape[1])
    if not any_edge:
        return
    lanes = np.empty((_DOWN, _WIDEST * _ACROSS), np.uint64)
    for y in range(out.shape[0]):
        for k in range(counts[y]):
            if _has_step(out, y, spans[y, k, 0], spans[y, k, 1]):
                _paint_again(drawing, f, y, spans[y, k, 0], spans[y, k, 1], lanes, out)


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _area(points: NDArray[np.float32], a: int, b: int, c: int) -> float:
    """Twice the signed area, negative if seen from the front."""
    ux, uy = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
    vx, vy = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1]
    return ux * vy - uy * vx


@njit(cache=True, nogil=True)
def _has_step(out: NDArray[np.uint8], y: int, x0: int, x1: int) -> bool:
    """Whether neighbours in the stretch of a row, or those above it, differ so much that it can be seen."""
    above = max(y - 1, 0)
    for x in range(max(x0, 1), x1):
        across, down = np.int64(0), np.int64(0)
        for c in range(3):
            across += abs(np.int64(out[y, x, c]) - np.int64(out[y, x - 1, c]))
            down += abs(np.int64(out[y, x, c]) - np.int64(out[above, x, c]))
        if across > _VISIBLE or down > _VISIBLE:
            return True
    return False


@njit(cache=True, nogil=True, fastmath=True)
def _mark(
    p: NDArray[np.float32],
    q: NDArray[np.float32],
    spans: NDArray[np.int32],
    counts: NDArray[np.int32],
    width: int,
) -> None:
    """Add the pixels along the edge from p to q to the spans of their rows."""
    if q[1] < p[1]:
        p, q = q, p
    slope = (q[0] - p[0]) / max(q[1] - p[1], np.float32(1e-3))
    for y in range(max(int(p[1] - np.float32(0.5)), 0), min(int(q[1] + np.float32(1.5)), len(counts))):
        first = min(max(np.float32(y) - np.float32(0.5), p[1]), q[1])
        last = min(max(np.float32(y) + np.float32(1.5), p[1]), q[1])
        x0, x1 = p[0] + (first - p[1]) * slope, p[0] + (last - p[1]) * slope
        start = max(int(min(x0, x1) - _REACH), 0)
        stop = min(int(max(x0, x1) + _REACH) + 1, width)
        if stop - start > _WIDEST or stop <= start:
            continue
        for k in range(counts[y]):
            low, high = min(spans[y, k, 0], start), max(spans[y, k, 1], stop)
            if start <= spans[y, k, 1] and spans[y, k, 0] <= stop and high - low <= _WIDEST:
                spans[y, k, 0], spans[y, k, 1] = low, high
                start = stop
                break
        if stop > start and counts[y] < spans.shape[1]:
            spans[y, counts[y], 0], spans[y, counts[y], 1] = start, stop
            counts[y] += 1


@njit(cache=True, nogil=True, fastmath=True)
def _paint_again(
    drawing: Drawing, f: int, y: int, x0: int, x1: int, lanes: NDArray[np.uint64], out: NDArray[np.uint8]
) -> None:
    """Paint the pixels x0 to x1 of row y as the mean of `_ACROSS` x `_DOWN` samples."""
    for x in range(x0, x1):
        colour = np.uint64(out[y, x, 0]) | np.uint64(out[y, x, 1]) << np.uint64(16)
        colour |= np.uint64(out[y, x, 2]) << np.uint64(32)
        for row in range(_DOWN):
            for i in range(_ACROSS):
                lanes[row, (x - x0) * _ACROSS + i] = colour
    for k in range(drawing.starts[f, y], drawing.starts[f, y + 1]):
        t = drawing.active[f, k]
        edge, plane = drawing.edges[f, t], drawing.planes[f, t]
        lowest = edge[TOP_X] + (edge[BOTTOM_Y] - edge[TOP_Y]) * edge[LONG]
        if max(edge[TOP_X], edge[MIDDLE_X], lowest) < x0 or min(edge[TOP_X], edge[MIDDLE_X], lowest) > x1:
            continue
        for row in range(_DOWN):
            _sample(drawing.texels, edge, plane, np.float32(y + (row + 0.5) / _DOWN), x0, x1, lanes[row])
    for x in range(x0, x1):
        total = np.uint64(0)
        for row in range(_DOWN):
            for i in range(_ACROSS):
                total += lanes[row, (x - x0) * _ACROSS + i]
        for c in range(3):
            value = (total >> np.uint64(16 * c)) & np.uint64(0xFFFF)
            out[y, x, c] = np.uint8((value + np.uint64(4)) >> np.uint64(3))


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _sample(
    texels: NDArray[np.uint32],
    edge: NDArray[np.float32],
    plane: NDArray[np.float32],
    yc: float,
    x0: int,
    x1: int,
    lanes: NDArray[np.uint64],
) -> None:
    """Colours of a triangle on the line at height `yc`, at every sample that is inside it."""
    if yc < edge[TOP_Y] or yc > edge[BOTTOM_Y]:
        return
    a = edge[TOP_X] + (yc - edge[TOP_Y]) * edge[LONG]
    if yc <= edge[MIDDLE_Y]:
        b = edge[TOP_X] + (yc - edge[TOP_Y]) * edge[UPPER]
    else:
        b = edge[MIDDLE_X] + (yc - edge[MIDDLE_Y]) * edge[LOWER]
    left, right = max(min(a, b), np.float32(x0)), min(max(a, b), np.float32(x1))
    if right <= left:
        return
    first = int((left - x0) * _ACROSS + np.float32(0.5))
    last = min(int((right - x0) * _ACROSS + np.float32(0.5)), (x1 - x0) * _ACROSS)
    wide, high = np.float32(texels.shape[1] - 2), np.float32(texels.shape[0] - 2)
    for i in range(first, last):
        x = x0 + (np.float32(i) + np.float32(0.5)) / _ACROSS
        u = min(max(plane[0] + plane[1] * x + plane[2] * yc, np.float32(0.0)), wide)
        v = min(max(plane[3] + plane[4] * x + plane[5] * yc, np.float32(0.0)), high)
        fu, fv = np.int64(u * np.float32(65536.0)), np.int64(v * np.float32(65536.0))
        r, s = fv >> 16, fu >> 16
        lanes[i] = blend(texels[r, s], texels[r, s + 1], texels[r + 1, s], texels[r + 1, s + 1], fu, fv)
