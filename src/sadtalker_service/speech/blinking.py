"""When the eyes of a speaking person blink."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CLOSING, HOLD, REOPENING = 0.085, 0.035, 0.16
"""Phases of a blink, seconds (VanderWerf et al. 2003: closing takes half as long as opening)."""

_GAP = (2.2, 5.2)
"""Seconds between blinks."""
_WAIT = 0.6
"""Longest time that a blink waits for a pause, seconds."""
_OPEN_AT_END = 0.35
"""Seconds before the end in which the eyes are open. A blink that begins just before would end in them."""
_DOUBLE = 0.10
"""Share of blinks that are double."""


def blink_times(rng: np.random.Generator, duration: float, pauses: NDArray[np.float32]) -> list[float]:
    """Seconds at which blinks begin. A blink shortly before a speech pause is delayed until the pause."""
    plan = BlinkPlan(rng)
    plan.decide(duration, [float(start) for start, _end in pauses], duration)
    return plan.begins


class BlinkPlan:
    """Decides one blink after the other."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._next = float(rng.uniform(0.5, 1.6))
        self.begins: list[float] = []
        """Seconds at which blinks begin. Whoever does not need the early ones may remove them."""

    def decide(self, until: float, pause_starts: Sequence[float], end: float | None) -> list[float]:
        """Decide the blinks that are due before `until` seconds, and return them.

        A blink shortly before a speech pause is delayed until the pause. There is none just before the `end`.
        """
        new: list[float] = []
        latest = np.inf if end is None else end - _OPEN_AT_END - CLOSING - HOLD - REOPENING
        while self._next < min(until, latest):
            wait = min(_WAIT, latest - self._next)
            near = [start for start in pause_starts if 0.0 <= start - self._next < wait]
            begin = near[0] if near else self._next
            new.append(begin)
            double = self._rng.random() < _DOUBLE
            self._next = begin + (0.36 if double else float(self._rng.uniform(*_GAP)))
        self.begins += new
        return new
