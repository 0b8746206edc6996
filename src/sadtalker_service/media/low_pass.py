"""Low-pass filters for changes of the sample rate.

`scipy.signal.firwin` designs the same ones, but its import takes half a second of every start: it brings all
of `scipy.stats`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def low_pass(taps: int, cutoff: float, beta: float) -> NDArray[np.float64]:
    """A symmetric windowed-sinc filter (taps,) whose sum is 1.

    `cutoff`: 0..1, as a share of half the sample rate. `beta`: shape of the Kaiser window; a larger one
    attenuates more and cuts off less steeply.
    """
    at = np.arange(taps) - (taps - 1) / 2
    kernel = np.sinc(cutoff * at) * np.kaiser(taps, beta)
    return np.asarray(kernel / kernel.sum())
