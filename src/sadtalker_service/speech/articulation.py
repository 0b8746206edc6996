"""Articulation of recognised speech: articulator curves in millimetres, closures, pauses and accents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from sadtalker_service.domain import Artefact, Speech
from sadtalker_service.speech.closing import close_lips, closures_of, pauses_of, rest_in_pauses
from sadtalker_service.speech.coarticulation import TICK_RATE, viseme_weights
from sadtalker_service.speech.loudness import accents, level_db, loudness
from sadtalker_service.speech.phonemes import PhonemeTrack
from sadtalker_service.speech.visemes import ARTICULATORS, JAW, OPENING, VISEME_TARGETS, VISEMES

__all__ = ["ARTICULATORS", "Articulation", "articulate"]

Float32 = NDArray[np.float32]

_RESTORE_AT_MOST = 1.4
"""Averaging segmentations reduces the motion. It is amplified again, by at most this factor."""
_AROUND = 600
"""Ticks before and after each moment over which its amplitude is measured."""
_KNEE = 2.0
"""Below this opening, mm, the lips slow down and do not meet. Only closures close them."""
_WIDEST = 24.0
"""Largest opening, mm. The motion is compressed from two thirds of it upwards."""


@dataclass(frozen=True, eq=False)
class Articulation:
    """The motion of a mouth that speaks the driven audio.

    Tick i is at i / rate seconds of the audio. The lead of the lips over the sound is already applied.
    """

    articulators: Float32
    """float32 (T, 8), columns as `ARTICULATORS`: millimetres (opening >= 0) and 0..1."""
    visemes: Float32
    """float32 (T, 15): shares of the visemes. Each row sums to 1."""
    closures: Float32
    """float32 (K, 3): kind, start, end in seconds. Kind 0 shuts the lips for p b m, and the opening is 0 from
    start to end. Kind 1 puts the lower lip under the teeth for f v. A video must show at least one frame of
    each."""
    loudness: Float32
    """float32 (T,), 0..1."""
    pauses: Float32
    """float32 (P, 2): start and end in seconds of stretches without speech."""
    accents: Float32
    """float32 (A, 2): time in seconds and strength 0..1 of stressed syllables, for nods and brows."""
    rate: int = TICK_RATE
    """Ticks per second."""

    def to_artefact(self) -> Artefact:
        """Convert to an artefact with all arrays and the rate."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return Artefact(MappingProxyType(arrays), MappingProxyType({"rate": self.rate}))

    @classmethod
    def from_artefact(cls, artefact: Artefact) -> Articulation:
        """Restore the result of `to_artefact`.

        Raises:
            KeyError: an array or the rate is missing.
        """
        return cls(**{name: artefact.arrays[name] for name in _ARRAYS}, rate=int(artefact.record["rate"]))


_ARRAYS = ("articulators", "visemes", "closures", "loudness", "pauses", "accents")


def articulate(track: PhonemeTrack, speech: Speech) -> Articulation:
    """How a mouth speaks `track`. An empty track keeps it shut.

    Loudness does not open the mouth, because that made the match with real speakers worse (docs/speech.md).
    """
    loud = loudness(level_db(speech.samples))
    if track.voiced_seconds() == 0:
        track, loud = PhonemeTrack.exact(()), np.zeros_like(loud)
    opinions = [viseme_weights(s, len(loud)) for s in track.segmentations]
    shares = np.array([s.weight for s in track.segmentations], np.float32)
    shares /= shares.sum()
    visemes = _average(opinions, shares)
    motion = visemes @ VISEME_TARGETS
    _restore_amplitude(motion, visemes, opinions, shares)
    motion[:, OPENING] = _within_reach(motion[:, OPENING])
    closures = closures_of(track)
    pauses = pauses_of(track, speech.duration)
    close_lips(motion, closures)
    rest_in_pauses(motion, pauses, speech.duration)
    motion[:, JAW] = np.minimum(motion[:, JAW], 0.9 * motion[:, OPENING])
    return Articulation(motion, visemes, closures, loud, pauses, accents(loud))


def _average(opinions: Sequence[Float32], shares: Float32) -> Float32:
    mean = np.zeros_like(opinions[0])
    for opinion, share in zip(opinions, shares, strict=True):
        mean += share * opinion
    return mean


def _restore_amplitude(
    motion: Float32, visemes: Float32, opinions: Sequence[Float32], shares: Float32
) -> None:
    """Amplify the millimetres of `motion` in place so that they vary as much as in a single segmentation.

    Both amplitudes are measured on speech around each moment, because silence has none and speakers change.
    """
    weight = 1.0 - visemes[:, VISEMES.index("sil")] + 1e-3
    total = _around(weight)

    def spread(curve: Float32) -> tuple[Float32, Float32]:
        mean = _around(weight * curve) / total
        return mean, np.maximum(_around(weight * np.square(curve)) / total - np.square(mean), 0.0)

    for column in range(JAW + 1):
        singles = (spread(o @ VISEME_TARGETS[:, column])[1] for o in opinions)
        single = sum(share * one for share, one in zip(shares, singles, strict=True))
        mean, variance = spread(motion[:, column])
        gain = np.clip(np.sqrt(single / np.maximum(variance, 1e-6)), 1.0, _RESTORE_AT_MOST)
        motion[:, column] = mean + gain * (motion[:, column] - mean)


def _around(curve: Float32) -> Float32:
    """Mean over six seconds before and after each tick, computed in double precision."""
    mean = uniform_filter1d(curve, 2 * _AROUND + 1, mode="nearest", output=np.float64)
    return np.asarray(mean, np.float32)


def _within_reach(opening: Float32) -> Float32:
    """Limit the opening in mm to between 0 and `_WIDEST`, without a corner in the curve."""
    low = _KNEE * np.exp(np.minimum(opening - _KNEE, 0.0) / _KNEE)
    soft = np.where(opening < _KNEE, low, opening)
    start = _WIDEST * 2 / 3
    room = _WIDEST - start
    over = np.maximum(soft - start, 0.0)
    return np.asarray(np.minimum(soft, start) + room * np.tanh(over / room), np.float32)
