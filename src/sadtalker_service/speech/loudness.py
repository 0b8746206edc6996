"""How loud a recording is over time, and whether there is a voice in it at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from sadtalker_service.domain import SPEECH_RATE

TICK = 160
"""Samples per tick: 10 ms."""

QUIET_DBFS = -66.0
"""A recording whose loud parts are below this is silence with noise in it."""

_RANGE_DB = 38.0
"""From the loud parts of speech down to what counts as nothing."""
_STEADY_DB = 5.0
"""Speech, even in noise, goes up and down by more than this; hiss and hum do not."""
_BLOCK = 1000 * TICK
"""Samples that are filtered at a time."""
_PERIODIC = 0.45
"""Normalised autocorrelation above which a stretch has a pitch."""
_PITCH_LAGS = slice(SPEECH_RATE // 400, SPEECH_RATE // 60)

Float32 = NDArray[np.float32]
Samples = NDArray[np.float32]


def level_db(samples: Samples) -> Float32:
    """Power of each tick in dBFS, at least -100: float32 (T,) with T = max(1, ceil(N / TICK))."""
    whole = len(samples) // TICK * TICK
    ticks = samples[:whole].reshape(-1, TICK)
    power = np.einsum("ij,ij->i", ticks, ticks) / TICK  # no copy of the samples: they may be ten minutes
    if whole < len(samples) or whole == 0:
        power = np.append(power, np.square(samples[whole:]).sum() / TICK)
    return np.asarray(10.0 * np.log10(power + 1e-10), np.float32)


def loudness(level: Float32) -> Float32:
    """Loudness 0..1 of each tick: 1 for the loud parts of this recording, 0 for 38 dB less or for silence."""
    loud = float(np.percentile(level, 95))
    if loud < QUIET_DBFS:
        return np.zeros_like(level)
    floor = loud - _RANGE_DB
    smooth = gaussian_filter1d(np.maximum(level, floor), 1.5, mode="nearest")
    return np.asarray(np.clip((smooth - floor) / _RANGE_DB, 0.0, 1.0), np.float32)


def accents(loud: Float32) -> Float32:
    """Prosodic peaks, float32 (A, 2): seconds, strength 0..1. At most about two a second."""
    # half a second to import: not for those who load an engine and hear nothing
    from scipy.signal import find_peaks  # noqa: PLC0415

    smooth = gaussian_filter1d(loud, 9.0, mode="constant")
    peaks, facts = find_peaks(smooth, distance=45, prominence=0.12)
    strength = np.clip(facts["prominences"] / 0.5, 0.0, 1.0)
    return np.stack([peaks / 100.0, strength], axis=1).astype(np.float32)


def is_voiceless(samples: Samples) -> bool:
    """True for silence, and for steady noise: a level that stays where it is, and no pitch."""
    if float(np.percentile(level_db(samples), 95)) < QUIET_DBFS:
        return True
    blocks = (samples[i : i + _BLOCK] for i in range(0, len(samples), _BLOCK))
    without_rumble = np.concatenate([level_db(np.diff(block, prepend=block[:1])) for block in blocks])
    smooth = gaussian_filter1d(without_rumble, 3.0, mode="nearest")
    swing = float(np.percentile(smooth, 95) - np.percentile(smooth, 5))
    return swing < _STEADY_DB and pitched_share(samples) < 0.05


def pitched_share(samples: Samples) -> float:
    """Share of the recording, 0..1, with a pitch of 60 to 400 Hz (autocorrelation of 50 ms stretches)."""
    size = SPEECH_RATE // 20
    count = min(len(samples) // size, 400)
    if count == 0:
        return 0.0
    starts = np.linspace(0, len(samples) - size, count).astype(int)
    pieces = np.diff(samples[starts[:, None] + np.arange(size)].astype(np.float64), prepend=0.0)
    pieces[:, 0] = 0.0
    spectrum = np.abs(np.fft.rfft(pieces, 2 * size, axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1)[:, :size] / (1.0 - np.arange(size) / size)
    here = correlation[:, _PITCH_LAGS]
    before, after = (correlation[:, _PITCH_LAGS.start + d : _PITCH_LAGS.stop + d] for d in (-1, 1))
    best = np.where((here > before) & (here >= after), here, 0.0).max(axis=1)
    return float(np.mean((best > _PERIODIC * correlation[:, 0]) & (correlation[:, 0] > 0)))
