"""What was said, and when: the port between recognisers (or text to speech) and articulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sadtalker_service.domain import Speech

SILENCE = "SIL"
"""Label of a pause; noises that no lips make (breath, click, music) carry it too."""


@dataclass(frozen=True)
class Phoneme:
    """A speech sound and its time."""

    label: str
    """ARPAbet in capitals without stress digit (`AH`, `SH`), or IPA (`ɑ`, `ʃ`), or `SILENCE`."""
    start: float
    """Seconds from the start of the recording."""
    end: float
    """Seconds, not before `start`."""


@dataclass(frozen=True)
class Segmentation:
    """One opinion of what was said: phonemes in order of time, without overlap."""

    phonemes: tuple[Phoneme, ...]
    weight: float = 1.0
    """How much it counts beside other opinions, > 0; only ratios matter."""

    def voiced_seconds(self) -> float:
        """Length of everything but pauses."""
        return sum(p.end - p.start for p in self.phonemes if p.label != SILENCE)


@dataclass(frozen=True)
class PhonemeTrack:
    """What was said, in one or several opinions.

    A recogniser is unsure, and the mean of several passes moves lips more truly than the best one. A voice
    that was synthesised has one exact segmentation.
    """

    segmentations: tuple[Segmentation, ...]

    @classmethod
    def exact(cls, phonemes: tuple[Phoneme, ...]) -> PhonemeTrack:
        """A track that is known, e.g. from text to speech."""
        return cls((Segmentation(phonemes),))

    def voiced_seconds(self) -> float:
        """Length of everything but pauses, mean over the opinions."""
        total = sum(s.weight for s in self.segmentations)
        spoken = (
            s.weight * sum(p.end - p.start for p in s.phonemes if p.label != SILENCE)
            for s in self.segmentations
        )
        return sum(spoken) / total if total > 0 else 0.0


class PhonemeSource(Protocol):
    """Where phonemes come from."""

    def phonemes(self, speech: Speech) -> PhonemeTrack:
        """The phonemes of a recording; an empty track for one without a voice."""
