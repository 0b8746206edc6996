"""Blinks and small eye movements."""

from __future__ import annotations

import numpy as np

from sadtalker_service.engines.mesh.motion.signals import RATE, Signal, smooth
from sadtalker_service.speech.blinking import CLOSING, HOLD, REOPENING

_FIXATION = (0.35, 1.9)
"""Seconds between saccades."""
_GAZE_X, _GAZE_Y = 0.60, 0.22
"""Largest deviation of the gaze, mm on the eyeball."""


def blink_shape(since: Signal) -> Signal:
    """Closure 0..1 as a function of the seconds since a blink began."""
    closing = np.clip(since / CLOSING, 0.0, 1.0) ** 1.3
    opening = np.clip((since - CLOSING - HOLD) / REOPENING, 0.0, 1.0) ** 0.8
    return np.where(since < 0.0, 0.0, closing - opening).clip(0.0, 1.0)


def blinks(begins: list[float], times: Signal, fps: int) -> Signal:
    """Closure 0..1 of every frame, (F,).

    Every blink has one closed frame, even if it peaks between two frames.
    """
    closure = np.zeros(len(times))
    for begin in begins:
        full = begin + CLOSING + HOLD / 2
        nearest = (np.round(full * fps - 0.5) + 0.5) / fps  # the frame in the middle of which it is closed
        closure = np.maximum(closure, blink_shape(times - begin - (nearest - full)))
    return closure


class Gaze:
    """Small eye movements: fixations with quick jumps in between, without end."""

    _SMOOTHING = 0.012
    _EDGE = 6
    """Ticks on both sides that the smoothing needs."""
    _CALM = int(0.4 * RATE)
    """Ticks after a blink in which the gaze may be at the viewer."""

    def __init__(self, fixations: np.random.Generator, after_blinks: np.random.Generator) -> None:
        self._fixations = fixations
        self._after_blinks = after_blinks
        self._targets = np.zeros((0, 2))
        """From tick `_first` on."""
        self._first = 0
        self._at = 0.0
        self._calm: list[int] = []

    def blink(self, begin: float) -> None:
        """A blink begins at `begin` seconds. It is later than all that was taken."""
        if self._after_blinks.random() < 0.5:
            self._calm.append(int((begin + CLOSING) * RATE))

    def between(self, first: int, last: int) -> Signal:
        """Deviation in mm, (last - first, 2), of the ticks from `first` to `last`. Later calls ask later."""
        self._extend(last + self._EDGE)
        start = max(0, first - self._EDGE)
        target = self._targets[start - self._first : last + self._EDGE - self._first].copy()
        for begin in self._calm:
            target[max(0, begin - start) : max(0, begin + self._CALM - start)] *= 0.2
        moved = smooth(target, self._SMOOTHING)[first - start : last - start]
        self._targets = self._targets[start - self._first :]
        self._first = start
        self._calm = [begin for begin in self._calm if begin + self._CALM > start]
        return moved

    def _extend(self, tick: int) -> None:
        rows = [self._targets]
        known = self._first + len(self._targets)
        while known < tick:
            self._at += float(self._fixations.uniform(*_FIXATION))
            away = self._fixations.uniform(-1.0, 1.0, 2) * (_GAZE_X, _GAZE_Y)
            if self._fixations.random() < 0.45:
                away *= 0.15  # back to the viewer
            held = max(0, int(self._at * RATE) - known)
            rows.append(np.repeat(away[None], held, axis=0))
            known += held
        self._targets = np.concatenate(rows)
