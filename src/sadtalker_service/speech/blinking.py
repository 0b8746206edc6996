"""When the eyes of a speaking person blink."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CLOSING, HOLD, REOPENING = 0.085, 0.035, 0.16
"""Phases of a blink, seconds (VanderWerf et al. 2003: closing takes half as long as opening)."""

_GAP = (2.2, 5.2)
"""Seconds between blinks."""
_DOUBLE = 0.10
"""Share of blinks that are double."""


def blink_times(rng: np.random.Generator, duration: float, pauses: NDArray[np.float32]) -> list[float]:
    """Seconds at which blinks begin. A blink shortly before a speech pause is delayed until the pause."""
    times: list[float] = []
    at = float(rng.uniform(0.5, 1.6))
    while at < duration - 0.1:
        begin = at
        for start, _end in pauses:
            if 0.0 <= start - at < 0.6:
                begin = float(start)
                break
        times.append(begin)
        at = begin + (0.36 if rng.random() < _DOUBLE else float(rng.uniform(*_GAP)))
    return times
