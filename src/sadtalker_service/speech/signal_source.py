"""Phonemes from the signal alone: no model, any language, about half as accurate as the recogniser.

Band energies show how open and how far forward a vowel is, where a sibilant is, and where a voice breaks off
for a moment. That is what lips show. They do not identify the consonant.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, median_filter

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.media.voice_activity import TICK
from sadtalker_service.speech.loudness import level_db, loudness
from sadtalker_service.speech.phonemes import SILENCE, Phoneme, PhonemeTrack

LABELS = (SILENCE, "AA", "EH", "AO", "HH", "IY", "UW", "N", "S", "SH", "B")
"""The classes that can be distinguished."""

_WINDOW = 400
_FFT = 512
_BLOCK = 3000
"""Ticks that are analysed at a time, 30 seconds."""
_BANDS_HZ = ((450, 1100), (100, 450), (1500, 2800), (600, 1300), (3800, 7900), (2000, 3800), (100, 7900))
"""First formant when open, when closed; second formant when forward, when back; sibilance of s, of sh;
all."""
_SILENT, _HALF_OPEN, _OPEN = 0.12, 0.35, 0.6
"""Thresholds between no voice, closed, half open and open, on the scale 0..1 of `_jaw`."""
_FORWARD = 0.15
"""Distance from the speaker's own median, in powers of ten, at which a vowel counts as forward or back."""
_HISS = 0.4
"""Share of the energy in the sibilance of s or sh."""
_SHORTEST_PHONE = 5
"""Length of the median filter over the classes, ticks."""


class SignalSource:
    """A `PhonemeSource` without a model."""

    def phonemes(self, speech: Speech) -> PhonemeTrack:
        """One segmentation with the labels of `LABELS`."""
        classes = classify(speech.samples)
        edges = np.flatnonzero(np.diff(classes)) + 1
        starts = [0, *edges.tolist()]
        ends = [*edges.tolist(), len(classes)]
        return PhonemeTrack.exact(
            tuple(
                Phoneme(LABELS[classes[a]], a * TICK / SPEECH_RATE, b * TICK / SPEECH_RATE)
                for a, b in zip(starts, ends, strict=True)
            )
        )


def classify(samples: NDArray[np.float32]) -> NDArray[np.int_]:
    """int (T,): index into `LABELS` of every 10 ms."""
    loud = loudness(level_db(samples))
    bands = gaussian_filter1d(np.log10(band_energies(samples, len(loud)) + 1e-9), 1.5, axis=0)
    mid, low, front, back, hiss, hush, total = bands.T
    jaw = _jaw(loud, mid - low)
    tilt = front - back
    voiced = jaw > _SILENT
    place = tilt - np.median(tilt[voiced]) if voiced.any() else tilt * 0.0  # voices and microphones differ
    hissing = (np.maximum(hiss, hush) - total > np.log10(_HISS)) & (loud > 0.25)
    half_open = jaw > _HALF_OPEN
    choices = {
        "B": _dips(loud) & ~hissing,
        "S": hissing & (hiss >= hush),
        "SH": hissing,
        SILENCE: ~voiced,
        "AA": jaw > _OPEN,
        "EH": half_open & (place > _FORWARD),
        "AO": half_open & (place < -_FORWARD),
        "HH": half_open,
        "IY": place > _FORWARD,
        "UW": place < -_FORWARD,
    }
    classes = np.select(list(choices.values()), [LABELS.index(label) for label in choices], LABELS.index("N"))
    return np.asarray(median_filter(classes, _SHORTEST_PHONE, mode="nearest"), np.int_)


def _jaw(loud: NDArray[np.float32], openness: NDArray[np.float32]) -> NDArray[np.float32]:
    """How open a mouth sounds, 0..1: loud, and with a high first formant."""
    voice = np.clip((loud - 0.25) / 0.45, 0.0, 1.0)
    jaw = voice * (0.15 + 0.8 * np.clip(0.5 + 0.28 * openness, 0.0, 1.0))
    return np.asarray(jaw, np.float32)


def band_energies(samples: NDArray[np.float32], ticks: int) -> NDArray[np.float32]:
    """float32 (ticks, bands): energy in each of `_BANDS_HZ` around each tick."""
    frequencies = np.fft.rfftfreq(_FFT, 1 / SPEECH_RATE)
    picks = np.array([(frequencies >= low) & (frequencies < high) for low, high in _BANDS_HZ], np.float32)
    window = np.hanning(_WINDOW).astype(np.float32)
    before = (_WINDOW - TICK) // 2
    padded = np.pad(samples, (before, ticks * TICK + _WINDOW - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::TICK][:ticks]
    blocks = (frames[i : i + _BLOCK] * window for i in range(0, ticks, _BLOCK))
    return np.concatenate([np.abs(np.fft.rfft(block, _FFT)) ** 2 @ picks.T for block in blocks]).astype(
        np.float32
    )


def _dips(loud: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Short, deep breaks between loud stretches, as a stop consonant makes them."""
    around = np.minimum(
        maximum_filter1d(loud, 13, origin=6, mode="constant"),
        maximum_filter1d(loud, 13, origin=-6, mode="constant"),
    )
    return (around > 0.5) & (around - loud > 0.45)
