"""First-order recursive filters that keep their state from one piece to the next."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

_LARGEST_GROWTH = 1e6
"""A block is so short that its inverse weights stay below this, far from the limits of double precision."""


def one_pole(values: Float64, keep: float, state: Float64) -> Float64:
    """y[n] = keep y[n - 1] + x[n] along the first axis.

    Args:
        values: (N, ...) of x.
        keep: between 0 and 1, both excluded.
        state: (...) of y[-1]. Overwritten by y[N - 1].

    Returns:
        (N, ...) of y.
    """
    out = np.empty_like(values)
    size = max(1, int(np.log(_LARGEST_GROWTH) / -np.log(keep)))
    fall = keep ** np.arange(1.0, size + 1).reshape(-1, *[1] * (values.ndim - 1))
    for start in range(0, len(values), size):
        block = values[start : start + size]
        falling = fall[: len(block)]
        out[start : start + size] = falling * (state + np.cumsum(block / falling, axis=0))
        state[...] = out[start + len(block) - 1]
    return out
