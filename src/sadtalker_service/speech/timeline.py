"""Timeline of a talking face for a program that draws it itself: mouth shapes and blinks, with times.

Between two cues the shares of the mouth shapes change linearly. A face is drawn by blending the pictures of
the shapes by their shares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.options.seeds import random_stream
from sadtalker_service.speech.articulation import Articulation
from sadtalker_service.speech.blinking import blink_times
from sadtalker_service.speech.visemes import VISEMES

Float32 = NDArray[np.float32]

_SHARPNESS = 2.0
"""Exponent of the shares. It favours the main shape, because blended pictures of different shapes look
blurred."""
_SMALLEST = 0.05
"""Smaller shares are left out."""
_TOLERANCE = 0.04
"""Largest deviation of a share from the curve that was recognised."""
_CLOSING, _RESTING = 0.05, 0.12
"""Seconds in which the mouth shape reaches a closure, or rest in a pause."""
_SHAPE_OF_CLOSURE = ("PP", "FF")
"""For the kinds of `Articulation.closures`."""


@dataclass(frozen=True)
class Cue:
    """The mouth at a moment."""

    at: float
    """Seconds."""
    shapes: dict[str, float]
    """Viseme -> its share. Shares are above 0 and sum to 1, but for rounding."""


@dataclass(frozen=True)
class Timeline:
    """Everything that a face does while it speaks."""

    duration: float
    """Seconds."""
    cues: tuple[Cue, ...]
    """In the order of time. The first is at 0."""
    blinks: tuple[float, ...]
    """Seconds at which a blink begins. Its phases are in `blinking`."""


def timeline(articulation: Articulation, duration: float, seed: int | None = None) -> Timeline:
    """The timeline of driven audio that takes `duration` seconds. Equal seeds give equal blinks."""
    shares = _shares(articulation)
    kept = sorted({0, *_corners(shares), len(shares) - 1})
    begins = blink_times(random_stream(seed, 0, 1), duration, articulation.pauses)
    return Timeline(
        round(duration, 3),
        tuple(Cue(round(tick / articulation.rate, 3), _named(shares[tick])) for tick in kept),
        tuple(round(begin, 3) for begin in begins),
    )


def _shares(articulation: Articulation) -> Float32:
    """float32 (T, 15): shares of the pictures, with complete closures and pauses."""
    shares = articulation.visemes**_SHARPNESS
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-6)
    times = np.arange(len(shares)) / articulation.rate
    for start, end in articulation.pauses:
        _pull(shares, "sil", _nearness(times, start + _RESTING, end - _RESTING, _RESTING))
    for kind, start, end in articulation.closures:
        _pull(shares, _SHAPE_OF_CLOSURE[int(kind)], _nearness(times, start, end, _CLOSING))
    shares[shares < _SMALLEST] = 0.0
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def _nearness(times: NDArray[np.float64], start: float, end: float, ramp: float) -> Float32:
    """1 from `start` to `end`, 0 more than `ramp` seconds away. All 0 if the interval is empty."""
    if end < start:
        return np.zeros(len(times), np.float32)
    away = np.maximum(np.maximum(start - times, times - end), 0.0)
    return np.asarray(np.maximum(1.0 - away / ramp, 0.0), np.float32)


def _pull(shares: Float32, viseme: str, strength: Float32) -> None:
    """Blend `shares` in place towards one viseme, by `strength` 0..1 for each tick."""
    shares *= 1.0 - strength[:, None]
    shares[:, VISEMES.index(viseme)] += strength


def _corners(shares: Float32) -> Iterator[int]:
    """Ticks at which the curve needs a cue to be met within `_TOLERANCE` (Ramer, Douglas and Peucker)."""
    waiting = [(0, len(shares) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        progress = np.linspace(0.0, 1.0, last - first + 1, dtype=np.float32)[1:-1, None]
        straight = shares[first] + progress * (shares[last] - shares[first])
        off = np.abs(shares[first + 1 : last] - straight).max(axis=1)
        worst = int(off.argmax())
        if off[worst] > _TOLERANCE:
            middle = first + 1 + worst
            yield middle
            waiting += [(first, middle), (middle, last)]


def _named(row: Float32) -> dict[str, float]:
    return {VISEMES[k]: round(float(row[k]), 2) for k in np.flatnonzero(row)}
