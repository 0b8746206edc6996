"""Find where a recording may contain a voice: louder than the noise around it, and not a steady tone.

All measures cover a few seconds around each moment, never the whole recording. One sentence in ten minutes of
silence is therefore found as well as any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_closing,
    binary_opening,
    gaussian_filter1d,
    maximum_filter1d,
    minimum_filter1d,
    uniform_filter1d,
)

from sadtalker_service.domain import SPEECH_RATE

Float32 = NDArray[np.float32]
Flags = NDArray[np.bool_]

TICK = 160
"""Samples per tick: 10 ms."""
_BLOCK = 500
"""Number of frames analysed at a time, so that memory stays small and in the processor's cache."""

_WINDOW, _FFT = 400, 512
"""Samples: 25 ms, and the length of its transform."""
_BANDS = 16
_LOWEST_HZ, _HIGHEST_HZ = 120.0, 7000.0
_SMOOTHING = 3.0
"""Ticks. With this smoothing, the level of a band in steady noise varies by less than 2 dB."""
_FLOOR_TICKS = 250
"""The noise floor is the lowest level of each band within this many ticks before and after each moment."""
_DEAD_DB = -85.0
"""A level below this in all bands, dBFS, is digital silence. It does not count as a floor for the noise next
to it."""
_ABOVE_FLOOR_DB = 6.0
"""Mean over the bands. Steady noise stays below 4, and 90 % of clean speech is above the threshold."""
_NOISE_TICKS = 40
"""Sound whose spectrum keeps its shape for this many ticks is noise, whatever was before it."""
_NOISE_DB = 1.5
"""Standard deviation of the level of a band against the mean of the bands over that time, mean over the
bands. Noise and breath have 0.8 to 1.3, a voice more than 2."""
_NOISE_PITCHED = 0.5
"""Largest share of it with a pitch. Above it the sound is a note that is held."""
_NOISE_EDGE = 15
"""Ticks before and after such noise in which its level is the floor: its beginning is no voice either."""
_SHORTEST = 4
"""Ticks. A shorter sound is a click."""
_JOIN = 35
"""Ticks. A shorter gap belongs to the speech around it."""

_PITCH_WINDOW = SPEECH_RATE // 20
_PERIODIC = 0.45
"""A stretch with a normalised autocorrelation above this has a pitch."""
_PITCH_LAGS = slice(SPEECH_RATE // 400, SPEECH_RATE // 60)
_BESIDE_LOUD_DB = 25.0
"""A note longer than the floor's window counts if it is within this many dB of the loudest sound around
it."""

_FRAME, _HOP, _APART = 1024, 480, 2
"""Samples per long window, samples between two windows, and windows between two that are compared (60 ms)."""
_BINS = slice(5, 260)
"""80 to 4000 Hz."""
_ALIKE = 0.96
"""Similarity of two spectra (cosine of their square roots). A voice hardly ever keeps it for 60 ms, an
instrument keeps it as long as its note."""
_TONE = 0.995
"""Share of the power in one partial. Above it the sound is a pure tone."""
_AROUND = 150
"""Ticks before and after each moment over which tones are counted."""
_TONAL = 0.4
"""Largest share of steady sound in a voice. In speech and song it is below 0.1, for instruments above 0.5."""
_LEAST_TONES = 45
"""Ticks of steady sound that make a tune. A single syllable may be steady too."""
ACTIVITY_MARGIN = 330
"""Ticks before and after a moment on which its activity depends."""


@dataclass(frozen=True, eq=False)
class Activity:
    """The activity at each tick of 10 ms."""

    active: Flags
    """bool (T,): louder than the noise around it, including the pauses between syllables."""
    tonal: Flags
    """bool (T,): mostly steady tones within 1.5 seconds, as from music, bells and signals."""
    steadiness: float
    """Share of steady tones in the active sound, or 0 if they last less than half a second."""

    @property
    def voiced(self) -> Flags:
        """bool (T,): active, and not only tones."""
        return self.active & ~self.tonal


def voiced_ticks(samples: Float32) -> Flags:
    """bool (T,): where there may be a voice."""
    return activity(samples).voiced


def activity(samples: Float32) -> Activity:
    """Activity over time. (N,) samples have max(1, ceil(N / TICK)) ticks."""
    ticks = max(1, -(-len(samples) // TICK))
    levels = band_levels(samples, ticks)
    steady = _steady(samples, ticks)
    pitch = pitched_ticks(samples, ticks)
    active = above_floor(levels, pitch) | (_held(pitch, levels) & ~steady)
    active = binary_closing(
        binary_opening(np.pad(active, _JOIN), np.ones(_SHORTEST, np.bool_)), np.ones(_JOIN, np.bool_)
    )
    active = active[_JOIN:-_JOIN]
    sound = active | steady
    steadiness = float(steady.sum() / sound.sum()) if steady.sum() > _LEAST_TONES else 0.0
    return Activity(active, _mostly(steady, sound), steadiness)


def band_levels(samples: Float32, ticks: int) -> Float32:
    """float32 (ticks, 16): level of each band around each tick, dBFS."""
    edges = np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, _BANDS + 1)
    frequencies = np.fft.rfftfreq(_FFT, 1 / SPEECH_RATE)
    picks = np.array(
        [(frequencies >= a) & (frequencies < max(b, a + 40.0)) for a, b in pairwise(edges)],
        np.float32,
    )
    picks /= picks.sum(axis=1, keepdims=True)
    window = np.hanning(_WINDOW).astype(np.float32)
    rows = [
        np.square(np.abs(np.fft.rfft(frames * window, _FFT))) @ picks.T
        for frames in _frames(samples, ticks, _WINDOW, TICK)
    ]
    power = np.concatenate(rows) / np.square(window).sum()
    return np.asarray(10.0 * np.log10(power + 1e-10), np.float32)


def pitched(frames: NDArray[np.floating]) -> Flags:
    """bool (F,): which of the stretches (F, 800) of 50 ms have a pitch of 60 to 400 Hz."""
    size = frames.shape[1]
    pieces = np.diff(frames.astype(np.float64), prepend=0.0, axis=1)
    pieces[:, 0] = 0.0
    spectrum = np.abs(np.fft.rfft(pieces, 2 * size, axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1)[:, :size] / (1.0 - np.arange(size) / size)
    here = correlation[:, _PITCH_LAGS]
    before, after = (correlation[:, _PITCH_LAGS.start + d : _PITCH_LAGS.stop + d] for d in (-1, 1))
    best = np.where((here > before) & (here >= after), here, 0.0).max(axis=1)
    found: Flags = (best > _PERIODIC * correlation[:, 0]) & (correlation[:, 0] > 0)
    return found


def _frames(samples: Float32, count: int, size: int, hop: int) -> Iterator[Float32]:
    """Stretches of `size` samples around the centres of `count` hops, float32 (n, size) at a time."""
    before = (size - hop) // 2
    padded = np.pad(samples, (before, max(0, count * hop + size - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:count]
    yield from (frames[start : start + _BLOCK] for start in range(0, count, _BLOCK))


def above_floor(levels: Float32, pitch: Flags | None = None) -> Flags:
    """bool (T,): louder than the quietest moment nearby, and than noise that goes on.

    Args:
        levels: float32 (T, 16), as from `band_levels`.
        pitch: bool (T,), which ticks have a pitch, if that is known: a note that is held is no noise.
    """
    smooth = gaussian_filter1d(levels, _SMOOTHING, axis=0, mode="nearest")
    dead = smooth.max(axis=1) < _DEAD_DB
    floor = np.where(dead[:, None], np.float32(np.inf), smooth)
    floor = minimum_filter1d(floor, 2 * _FLOOR_TICKS + 1, axis=0, mode="nearest")
    floor = np.maximum(floor, _noise_level(smooth, pitch))
    above = np.where(np.isfinite(floor), np.maximum(smooth - floor, 0.0), 0.0).mean(axis=1)
    found: Flags = (above > _ABOVE_FLOOR_DB) & ~dead
    return found


def _noise_level(smooth: Float32, pitch: Flags | None) -> Float32:
    """float32 (T, 16): highest level of the noise at each tick or next to it, dBFS; -inf without noise.

    The quietest moment nearby is not the floor of noise that begins suddenly, swells or fades.
    """
    level = np.full(smooth.shape, -np.inf, np.float32)
    if len(smooth) < _NOISE_TICKS:
        return level
    middle = slice(_NOISE_TICKS // 2, len(smooth) - (_NOISE_TICKS - 1) // 2)
    shape = smooth.astype(np.float64)
    shape -= shape.mean(axis=1, keepdims=True)
    mean, square = (uniform_filter1d(x, _NOISE_TICKS, axis=0)[middle] for x in (shape, shape**2))
    spread = np.sqrt(np.maximum(square - mean**2, 0.0)).mean(axis=1)
    highest = maximum_filter1d(smooth, _NOISE_TICKS, axis=0)[middle]
    is_noise = spread < _NOISE_DB
    if pitch is not None:
        is_noise &= uniform_filter1d(pitch.astype(np.float64), _NOISE_TICKS)[middle] < _NOISE_PITCHED
    level[middle] = np.where(is_noise[:, None], highest, -np.inf)
    return maximum_filter1d(level, _NOISE_TICKS + 2 * _NOISE_EDGE + 1, axis=0, mode="nearest")


def pitched_ticks(samples: Float32, ticks: int) -> Flags:
    """bool (T,): which ticks have a pitch."""
    hops = -(-ticks // 3)
    has_pitch = np.concatenate([pitched(f) for f in _frames(samples, hops, _PITCH_WINDOW, _HOP)])
    return np.repeat(has_pitch, 3)[:ticks]


def _held(pitch: Flags, levels: Float32) -> Flags:
    """bool (T,): pitched, and about as loud as the sound around it."""
    loud = levels.max(axis=1)
    around = -minimum_filter1d(-loud, 2 * _FLOOR_TICKS + 1, mode="nearest")
    found: Flags = pitch & (loud > around - _BESIDE_LOUD_DB) & (loud > _DEAD_DB)
    return found


def _steady(samples: Float32, ticks: int) -> Flags:
    """bool (T,): the spectrum stays constant, or is a single partial."""
    hops = -(-ticks // 3)
    window = np.hanning(_FRAME).astype(np.float32)
    steady = np.zeros(hops + _APART, np.bool_)
    last = np.zeros((_APART, _BINS.stop - _BINS.start), np.float32)
    at = 0
    for frames in _frames(samples, hops, _FRAME, _HOP):
        size = np.abs(np.fft.rfft(frames * window, axis=1))[:, _BINS].astype(np.float32)
        power = np.square(size)
        peak = uniform_filter1d(power, 7, axis=1, mode="constant").max(axis=1) * 7.0
        root = np.sqrt(size)
        root /= np.linalg.norm(root, axis=1, keepdims=True) + 1e-9
        both = np.concatenate([last, root])
        alike = (both[:-_APART] * both[_APART:]).sum(axis=1) > _ALIKE
        tone = peak > _TONE * (power.sum(axis=1) + 1e-12)
        steady[at : at + len(frames)] |= alike | tone
        last, at = both[-_APART:], at + len(frames)
    steady[:-_APART] |= steady[_APART:]  # both of the two similar windows
    return np.repeat(steady, 3)[:ticks]


def _mostly(steady: Flags, heard: Flags) -> Flags:
    """bool (T,): where most of the active sound nearby is steady."""
    width = 2 * _AROUND + 1
    tones, sound = (
        uniform_filter1d(flags.astype(np.float64), width, mode="constant") * width
        for flags in (steady, heard)
    )
    found: Flags = (tones > _TONAL * sound) & (tones > _LEAST_TONES)
    return found
