"""Texts that a voice speaks, and what is spoken when."""

from __future__ import annotations

from dataclasses import dataclass

from sadtalker_service.domain.records import JsonRecord


@dataclass(frozen=True)
class TimedLabel(JsonRecord):
    """A phoneme or a word, and when it is spoken."""

    label: str
    """A phoneme as in `speech.phonemes`, or a word as it was written."""
    start: float
    """Seconds from the start of the sound."""
    end: float
    """Seconds, at least `start`."""


@dataclass(frozen=True)
class SpokenTimeline(JsonRecord):
    """What a synthesised voice says when: exact, nothing has to be recognised."""

    phonemes: tuple[TimedLabel, ...]
    """In order of time, without overlap, pauses among them."""
    words: tuple[TimedLabel, ...]
    """In order of time, each with the punctuation that follows it. Empty where the voice cannot tell."""


@dataclass(frozen=True)
class SpokenText(JsonRecord):
    """A text that a voice speaks, in place of a recording."""

    text: str
    """Plain, or with the SSML elements of `speech.voices.markup`."""
    voice: str
    """Id of a voice, resolved."""
    rate: float = 1.0
    """How fast: 1 is the voice's own rate, 2 twice as fast."""
