"""The port of text to speech: the input and the output of a voice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import TimedLabel
from sadtalker_service.speech.voices.catalogue import VoiceCard

VOICE_RATE = 24_000
"""Sample rate of what voices say, Hz."""


@dataclass(frozen=True)
class Token:
    """A word as it was written, and how it is spoken."""

    written: str
    """As in the text, without the punctuation around it: `$3.50`."""
    spoken: str
    """Phonemes of the voice's alphabet; words that are spoken one after the other are separated by spaces."""
    mark: str = ""
    """Punctuation that follows it and is heard: one of `.!?,;:—…`, or none."""
    said: str = ""
    """The same in plain words: `three dollars fifty`. For voices that read by themselves."""


@dataclass(frozen=True)
class Phrase:
    """A part of a text that is spoken in one breath: a sentence, or a part of a long one."""

    tokens: tuple[Token, ...]
    pause: float = 0.0
    """Seconds of silence after it."""
    rate: float = 1.0
    """How fast, 1 is the voice's own rate."""


@dataclass(frozen=True, eq=False)
class Utterance:
    """A phrase that was spoken. Times are seconds from its first sample."""

    samples: NDArray[np.float32]
    """float32 (N,), mono, `VOICE_RATE` Hz, -1..1."""
    phonemes: tuple[TimedLabel, ...]
    """Labels as in `speech.phonemes`, in order of time; empty if the voice cannot tell."""
    words: tuple[TimedLabel, ...]
    """One per token, each with its mark."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / VOICE_RATE


class Voice(Protocol):
    """A way to make speech. Safe to call from several threads; the same phrase always gives the same
    samples."""

    @property
    def version(self) -> str:
        """Part of every cache key. It changes when the same phrase sounds different."""

    def speak(self, phrase: Phrase, card: VoiceCard) -> Utterance:
        """Speak a phrase with one of its voices."""


class Reader(Protocol):
    """Turns the text of one language into tokens."""

    def read(self, text: str) -> list[Token]:
        """The tokens of a text without markup. Raises `UnreadableText`."""
