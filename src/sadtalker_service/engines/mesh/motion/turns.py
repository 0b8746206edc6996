"""Turns of the head: quick, then held, as people speak.

A speaker turns within .3 to .5 s, mostly as a stress comes, and keeps the new direction for one to three
seconds. Every third time or so it is back to the viewer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sadtalker_service.engines.mesh.motion.signals import RATE, Signal

AXES = 3
_HOLD = (1.0, 3.0)
_DURATION = (0.3, 0.5)
"""Seconds."""
_WAIT, _AHEAD = 0.45, 0.12
"""Longest time that a turn waits for an accent, and how long before the accent it begins, seconds."""
_TO_VIEWER, _NEAR = 0.35, 0.25
"""Share of turns that lead back to the viewer, and how far away from there they end."""
_FARTHEST = 1.7
_SCALE = 1.28
"""Makes the standard deviation of all directions 1."""


class Turns:
    """Directions of the head, tick by tick without end. How they are taken does not change them."""

    def __init__(self, rng: np.random.Generator, pace: float) -> None:
        self._rng = rng
        self._pace = pace
        self._next = float(rng.uniform(0.3, 1.0))
        self._turns: list[tuple[float, float, Signal, Signal]] = []
        """Start, duration, direction before and after."""
        self._direction = np.zeros(AXES)
        self._tick = 0

    def take(self, length: int, accents: Sequence[float]) -> Signal:
        """The next ticks, (length, 3): pitch, yaw and roll, each of unit standard deviation.

        `accents`: seconds of all accents up to 0.6 s after these ticks.
        """
        end = (self._tick + length) / RATE
        while self._next < end:
            self._decide(accents)
        seconds = (self._tick + np.arange(length)) / RATE
        out = np.zeros((length, AXES))
        for start, duration, before, after in self._turns:
            at = np.clip((seconds - start) / duration, 0.0, 1.0)
            share = at**3 * (10.0 - 15.0 * at + 6.0 * at * at)  # minimum jerk (Flash & Hogan 1985)
            since = seconds >= start
            out[since] = (before + share[:, None] * (after - before))[since]
        self._tick += length
        past = [turn for turn in self._turns if turn[0] < end - 1.0]
        self._turns = past[-1:] + self._turns[len(past) :]
        return out

    def _decide(self, accents: Sequence[float]) -> None:
        """The turn that is due at `_next`."""
        near = [at for at in accents if self._next < at - _AHEAD < self._next + _WAIT]
        start = min(near) - _AHEAD if near else self._next
        duration, hold = self._rng.uniform(*_DURATION), self._rng.uniform(*_HOLD) / self._pace
        away = np.clip(self._rng.standard_normal(AXES), -_FARTHEST, _FARTHEST) * _SCALE
        away[2] = 0.85 * away[2] + 0.5 * away[1]  # a head that turns also tilts
        if self._rng.random() < _TO_VIEWER:
            away *= _NEAR
        self._turns.append((start, float(duration), self._direction, away))
        self._direction = away
        self._next = start + float(duration + hold)
