"""What the mouth does for what was said: articulator curves in millimetres, closures, pauses and accents."""

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
"""Averaging opinions shrinks motion; it is stretched again, but not by more than this."""
_AROUND = 600
"""Ticks before and after a moment over which its amplitude is taken."""
_KNEE = 2.0
"""Below this opening, mm, lips slow down instead of meeting: only closures close them."""
_WIDEST = 24.0
"""No opening beyond this, mm; from two thirds of it on the motion is compressed."""


@dataclass(frozen=True, eq=False)
class Articulation:
    """The motion of a mouth that speaks a recording. Tick i is at i / rate seconds of the recording; lips are
    already as early as they have to be."""

    articulators: Float32
    """float32 (T, 8), columns as `ARTICULATORS`: millimetres (opening >= 0) and 0..1."""
    visemes: Float32
    """float32 (T, 15): shares of the visemes, each row with the sum 1."""
    closures: Float32
    """float32 (K, 3): kind, start, end in seconds. Kind 0: lips shut for p b m, the opening is 0 from start
    to end; kind 1: lower lip under the teeth for f v. A video must show at least one frame of each."""
    loudness: Float32
    """float32 (T,), 0..1."""
    pauses: Float32
    """float32 (P, 2): start, end in seconds of stretches without speech."""
    accents: Float32
    """float32 (A, 2): seconds, strength 0..1 of stressed syllables, for nods and brows."""
    rate: int = TICK_RATE
    """Ticks per second."""

    def to_artefact(self) -> Artefact:
        """Named arrays and the rate: all of it."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return Artefact(MappingProxyType(arrays), MappingProxyType({"rate": self.rate}))

    @classmethod
    def from_artefact(cls, artefact: Artefact) -> Articulation:
        """What `to_artefact` gave.

        Raises:
            KeyError: an array or the rate is missing.
        """
        return cls(**{name: artefact.arrays[name] for name in _ARRAYS}, rate=int(artefact.record["rate"]))


_ARRAYS = ("articulators", "visemes", "closures", "loudness", "pauses", "accents")


def articulate(track: PhonemeTrack, speech: Speech) -> Articulation:
    """How a mouth says `track`; an empty track keeps it shut.

    Loudness does not open the mouth: on real speakers that made the match worse (docs/speech.md).
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
    """Stretch the millimetres of `motion`, in place, so that they vary as much as in a single opinion.

    Both are taken over the speech around a moment: silence has no amplitude, and speakers change.
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
    """Mean over six seconds before and after each tick, in double precision inside."""
    mean = uniform_filter1d(curve, 2 * _AROUND + 1, mode="nearest", output=np.float64)
    return np.asarray(mean, np.float32)


def _within_reach(opening: Float32) -> Float32:
    """Opening in mm that stays above 0 and below `_WIDEST`, with no corner in the curve."""
    low = _KNEE * np.exp(np.minimum(opening - _KNEE, 0.0) / _KNEE)
    soft = np.where(opening < _KNEE, low, opening)
    start = _WIDEST * 2 / 3
    room = _WIDEST - start
    over = np.maximum(soft - start, 0.0)
    return np.asarray(np.minimum(soft, start) + room * np.tanh(over / room), np.float32)
