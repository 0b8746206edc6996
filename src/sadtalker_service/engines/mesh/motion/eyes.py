"""Blinks and small eye movements."""

from __future__ import annotations

import numpy as np

from sadtalker_service.engines.mesh.motion.signals import RATE, Signal, smooth, ticks
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
        since = times - begin
        full = CLOSING + HOLD / 2
        nearest = since[np.argmin(np.abs(since - full))]
        if abs(nearest - full) <= 0.5 / fps + 1e-9:
            since = since - (nearest - full)
        closure = np.maximum(closure, blink_shape(since))
    return closure


def gaze(rng: np.random.Generator, duration: float, begins: list[float]) -> Signal:
    """Deviation of the gaze in mm, (T, 2) at `RATE`: fixations with quick jumps in between."""
    length = ticks(duration)
    target = np.zeros((length, 2))
    at = 0.0
    while at < duration:
        hold = float(rng.uniform(*_FIXATION))
        away = rng.uniform(-1.0, 1.0, 2) * (_GAZE_X, _GAZE_Y)
        if rng.random() < 0.45:
            away *= 0.15  # back to the viewer
        target[int(at * RATE) : int((at + hold) * RATE) + 1] = away
        at += hold
    for begin in begins:
        start = int((begin + CLOSING) * RATE)
        if start < length and rng.random() < 0.5:
            target[start : start + int(0.4 * RATE)] *= 0.2
    return smooth(target, 0.012)
