"""Phonemes with their times: the port between recognisers (or text to speech) and articulation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from sadtalker_service.domain import Speech

SILENCE = "SIL"
"""Label of a pause. Noises without lip movement (breath, click, music) have it too."""


@dataclass(frozen=True)
class Phoneme:
    """A speech sound and its time."""

    label: str
    """ARPAbet in capitals without stress digit (`AH`, `SH`), or IPA (`ɑ`, `ʃ`), or `SILENCE`."""
    start: float
    """Seconds from the start of the recording."""
    end: float
    """Seconds, at least `start`."""


@dataclass(frozen=True)
class Segmentation:
    """One segmentation of the speech: phonemes in order of time, without overlap."""

    phonemes: tuple[Phoneme, ...]
    weight: float = 1.0
    """Weight relative to other segmentations, > 0. Only ratios matter."""
    sparse: bool = False
    """Its silences are no evidence: the first segmentation counts there."""

    def voiced_seconds(self) -> float:
        """Length without pauses."""
        return sum(p.end - p.start for p in self.phonemes if p.label != SILENCE)


@dataclass(frozen=True)
class PhonemeTrack:
    """Recognised speech in one or several segmentations.

    A recogniser is uncertain, and the mean of several passes gives more accurate lip motion than the best
    one. A synthesised voice has one exact segmentation.
    """

    segmentations: tuple[Segmentation, ...]

    @classmethod
    def exact(cls, phonemes: tuple[Phoneme, ...]) -> PhonemeTrack:
        """A track that is known exactly, for example from text to speech."""
        return cls((Segmentation(phonemes),))

    def voiced_seconds(self) -> float:
        """Length without pauses, mean over the segmentations."""
        total = sum(s.weight for s in self.segmentations)
        spoken = (
            s.weight * sum(p.end - p.start for p in s.phonemes if p.label != SILENCE)
            for s in self.segmentations
        )
        return sum(spoken) / total if total > 0 else 0.0


class PhonemeSource(Protocol):
    """A source of phonemes."""

    def phonemes(self, speech: Speech) -> PhonemeTrack:
        """The phonemes of a recording. The track is empty if there is no voice."""


def append(so_far: list[Phoneme], phonemes: Iterable[Phoneme]) -> None:
    """Append phonemes. One that goes on in the next window becomes one again."""
    for phoneme in phonemes:
        last = so_far[-1] if so_far else None
        if last and last.label == phoneme.label and abs(last.end - phoneme.start) < 1e-6:
            so_far[-1] = Phoneme(last.label, last.start, phoneme.end)
        else:
            so_far.append(phoneme)
