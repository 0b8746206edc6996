"""Openings bounded by two curves: the mouth between the lips, an eye between the lids.

In the frame of the opening (x from corner to corner) both borders are functions of x. A table of heights
gives the distance from every pixel to the border. That distance gives the anti-aliased edge.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

ENTRIES = 96
"""Samples of a curve between the corners."""


@njit(cache=True, nogil=True)
def fill_curve(x: NDArray[np.float32], y: NDArray[np.float32], table: NDArray[np.float32]) -> None:
    """Fill `table` with the heights of a smooth curve at evenly spaced x, from the first point to the last.

    Cubic Hermite interpolation with Catmull-Rom slopes. Points that run backwards in x are moved forward.

    Args:
        x, y: float32 (n,).
        table: float32 (ENTRIES,), filled.
    """
    n = x.shape[0]
    for i in range(1, n):
        x[i] = max(x[i], x[i - 1] + np.float32(1e-4))
    step = (x[n - 1] - x[0]) / (ENTRIES - 1)
    i = 0
    for k in range(ENTRIES):
        at = x[0] + k * step
        while i < n - 2 and at > x[i + 1]:
            i += 1
        h = x[i + 1] - x[i]
        t = min(max((at - x[i]) / h, np.float32(0.0)), np.float32(1.0))
        rise = (y[i + 1] - y[i]) / h
        before = rise if i == 0 else (y[i + 1] - y[i - 1]) / (x[i + 1] - x[i - 1])
        after = rise if i == n - 2 else (y[i + 2] - y[i]) / (x[i + 2] - x[i])
        t2 = t * t
        t3 = t2 * t
        table[k] = (
            (2 * t3 - 3 * t2 + 1) * y[i]
            + (t3 - 2 * t2 + t) * h * before
            + (3 * t2 - 2 * t3) * y[i + 1]
            + (t3 - t2) * h * after
        )


@njit(cache=True, nogil=True, inline="always")
def height_at(table: NDArray[np.float32], position: float) -> float:
    """Height at a position 0..ENTRIES - 1, interpolated linearly."""
    i = min(int(position), ENTRIES - 2)
    f = np.float32(position - i)
    return table[i] + (table[i + 1] - table[i]) * f


@njit(cache=True, nogil=True, inline="always")
def clamp01(value: float) -> float:
    """Clip `value` to 0..1."""
    return min(max(value, np.float32(0.0)), np.float32(1.0))
