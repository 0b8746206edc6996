"""Random signals in continuous time, so that the motion is the same at every frame rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Signal = NDArray[np.float64]

RATE = 100
"""Ticks per second of every signal before it is sampled at the frames."""


def ticks(duration: float) -> int:
    """Number of ticks in a duration in seconds."""
    return max(1, int(np.ceil(duration * RATE)) + 1)


def frame_times(frames: int, fps: int) -> Signal:
    """Time of the middle of each frame, seconds."""
    return (np.arange(frames) + 0.5) / fps


def sample(signal: NDArray[np.floating], times: Signal) -> Signal:
    """Sample a signal (T,) or (T, n) at `RATE` at times in seconds, with linear interpolation."""
    values = np.asarray(signal, np.float64)
    at = np.clip(times * RATE, 0, len(values) - 1)
    low = np.minimum(at.astype(int), max(len(values) - 2, 0))
    high = np.minimum(low + 1, len(values) - 1)
    weight = (at - low).reshape(-1, *([1] * (values.ndim - 1)))
    result: Signal = values[low] * (1 - weight) + values[high] * weight
    return result


def smooth(signal: NDArray[np.floating], seconds: float) -> Signal:
    """Gaussian low-pass with a standard deviation in seconds."""
    result: Signal = gaussian_filter1d(np.asarray(signal, np.float64), seconds * RATE, axis=0, mode="nearest")
    return result


def wander(rng: np.random.Generator, length: int, hertz: float) -> Signal:
    """Low-pass noise (length,) of unit standard deviation that changes about `hertz` times per second.

    A longer signal starts like a shorter one. The scale is that of the process, not of the finite piece.
    """
    return Wander(rng, hertz).take(length)


class Wander:
    """Low-pass noise without end, taken piece by piece. The pieces do not change it."""

    def __init__(self, rng: np.random.Generator, hertz: float) -> None:
        """`rng` belongs to this noise alone. `hertz`: about how many times per second it changes."""
        sigma = RATE / (2 * np.pi * hertz)
        reach = np.arange(-int(4 * sigma), int(4 * sigma) + 1)
        kernel = np.exp(-0.5 * (reach / sigma) ** 2)
        self._kernel = kernel / kernel.sum() * np.sqrt(2 * sigma * np.sqrt(np.pi))
        self._rng = rng
        self._noise = rng.standard_normal(len(kernel) - 1)

    def take(self, length: int) -> Signal:
        """The next (length,) ticks."""
        if length <= 0:
            return np.zeros(0)
        noise = np.concatenate([self._noise, self._rng.standard_normal(length)])
        self._noise = noise[length:]
        result: Signal = np.convolve(noise, self._kernel, mode="valid")
        return result
