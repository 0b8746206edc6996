"""Loudness of a recording over time, and the share of it that has a pitch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from sadtalker_service.domain import SPEECH_RATE
from sadtalker_service.media.voice_activity import TICK, pitched

QUIET_DBFS = -66.0
"""If the loud parts are below this, the recording is silence with noise."""

_RANGE_DB = 38.0
"""Range from the loud parts of speech down to silence."""
_LOUD_SMOOTHING = 8.0
_AROUND = 250
"""Ticks before and after each moment in which its loud part is searched for."""
LOUDNESS_MARGIN = 500
"""Ticks before and after a moment on which its loudness depends."""
_ACCENT_SMOOTHING = 9.0
_ACCENTS_APART = 45
"""Ticks."""
_LEAST_PROMINENCE, _FULL_PROMINENCE = 0.12, 0.5
_PROMINENCE_AROUND = 200
"""Ticks before and after a peak between which it must stand out."""

Float32 = NDArray[np.float32]
Samples = NDArray[np.float32]


def level_db(samples: Samples) -> Float32:
    """Power of each tick in dBFS, at least -100: float32 (T,) with T = max(1, ceil(N / TICK))."""
    whole = len(samples) // TICK * TICK
    ticks = samples[:whole].reshape(-1, TICK)
    power = np.einsum("ij,ij->i", ticks, ticks) / TICK  # does not copy the samples, which may be ten minutes
    if whole < len(samples) or whole == 0:
        power = np.append(power, np.square(samples[whole:]).sum() / TICK)
    return np.asarray(10.0 * np.log10(power + 1e-10), np.float32)


def loudness(level: Float32) -> Float32:
    """Loudness 0..1 of each tick: 1 for the loud parts around it, 0 for 38 dB less or for silence."""
    steady = gaussian_filter1d(level, _LOUD_SMOOTHING, mode="nearest")
    loud = maximum_filter1d(steady, 2 * _AROUND + 1, mode="nearest")
    loud = gaussian_filter1d(loud, _AROUND / 5, mode="nearest")
    floor = loud - _RANGE_DB
    smooth = gaussian_filter1d(np.maximum(level, floor), 1.5, mode="nearest")
    relative = np.clip((smooth - floor) / _RANGE_DB, 0.0, 1.0)
    return np.asarray(np.where(loud < QUIET_DBFS, 0.0, relative), np.float32)


def accents(loud: Float32) -> Float32:
    """Prosodic peaks, float32 (A, 2): seconds, strength 0..1. At most about two a second."""
    smooth = gaussian_filter1d(loud, _ACCENT_SMOOTHING, mode="constant")
    inner = smooth[1:-1]
    peaks = 1 + np.flatnonzero((inner > smooth[:-2]) & (inner >= smooth[2:]))
    kept: list[int] = []
    for peak in sorted(peaks.tolist(), key=lambda p: (-smooth[p], p)):  # the highest of those that are close
        if all(abs(peak - other) >= _ACCENTS_APART for other in kept):
            kept.append(peak)
    rows = [(peak / 100.0, _prominence(smooth, peak)) for peak in sorted(kept)]
    found = [(at, min(p / _FULL_PROMINENCE, 1.0)) for at, p in rows if p >= _LEAST_PROMINENCE]
    return np.array(found, np.float32).reshape(-1, 2)


def _prominence(curve: Float32, peak: int) -> float:
    """How far the curve falls on both sides of a peak before it is higher again."""
    falls = []
    for side in (
        curve[max(0, peak - _PROMINENCE_AROUND) : peak][::-1],
        curve[peak + 1 : peak + 1 + _PROMINENCE_AROUND],
    ):
        higher = np.flatnonzero(side > curve[peak])
        until = side[: higher[0]] if len(higher) else side
        falls.append(float(curve[peak] - until.min(initial=curve[peak])))
    return min(falls)


def pitched_share(samples: Samples) -> float:
    """Share of the recording, 0..1, with a pitch of 60 to 400 Hz (autocorrelation of 50 ms stretches)."""
    size = SPEECH_RATE // 20
    count = min(len(samples) // size, 400)
    if count == 0:
        return 0.0
    starts = np.linspace(0, len(samples) - size, count).astype(int)
    return float(np.mean(pitched(samples[starts[:, None] + np.arange(size)])))
