"""Cut the silence before and after a phrase, and put silence between phrases."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SpokenTimeline, TimedLabel
from sadtalker_service.speech.phonemes import SILENCE
from sadtalker_service.speech.voices.port import VOICE_RATE, Utterance

BEFORE, AFTER = 0.05, 0.08
"""Seconds of its own edges that a phrase keeps."""
_BLOCK = 120
"""5 ms."""
_QUIET = 0.01
"""Share of the loudest block below which a block is silent, -40 dB."""
_FADE = 120


def trimmed(utterance: Utterance) -> Utterance:
    """An utterance without silence at its edges but for `BEFORE` and `AFTER`."""
    heard = _loud(utterance.samples)
    if heard is None:
        return utterance
    spoken = [one for one in utterance.phonemes if one.label != SILENCE]
    first = min([heard[0], *(one.start for one in spoken[:1])]) - BEFORE
    last = max([heard[1], *(one.end for one in spoken[-1:])]) + AFTER
    start, end = max(0, round(first * VOICE_RATE)), min(len(utterance.samples), round(last * VOICE_RATE))
    samples = utterance.samples[start:end].copy()
    ramp = np.linspace(0.0, 1.0, min(_FADE, len(samples) // 2), dtype=np.float32)
    if len(ramp):
        samples[: len(ramp)] *= ramp
        samples[-len(ramp) :] *= ramp[::-1]
    offset, length = -start / VOICE_RATE, len(samples) / VOICE_RATE
    return Utterance(
        samples,
        tuple(_moved(utterance.phonemes, offset, length)),
        tuple(_moved(utterance.words, offset, length)),
    )


class Timeline:
    """Joins utterances one after the other."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """Length so far."""
        self._phonemes: list[TimedLabel] = []
        self._words: list[TimedLabel] = []
        self.is_exact = True
        """Whether every utterance came with its phonemes."""

    def add(self, utterance: Utterance, pause: float) -> None:
        """The next utterance, and the silence after it."""
        self.is_exact = self.is_exact and bool(utterance.phonemes)
        for into, labels in ((self._phonemes, utterance.phonemes), (self._words, utterance.words)):
            into += [
                TimedLabel(one.label, self.seconds + one.start, self.seconds + one.end) for one in labels
            ]
        self.seconds += utterance.duration + pause

    def add_silence(self, seconds: float) -> None:
        """Silence."""
        self.seconds += seconds

    def finish(self) -> SpokenTimeline:
        """All of it, without gaps between the phonemes."""
        phonemes: list[TimedLabel] = []
        end = 0.0
        for one in self._phonemes:
            if one.start > end + 1e-6:
                phonemes.append(TimedLabel(SILENCE, end, one.start))
            start = max(one.start, end)
            if one.end > start:
                phonemes.append(TimedLabel(one.label, start, one.end))
                end = one.end
        if end < self.seconds:
            phonemes.append(TimedLabel(SILENCE, end, self.seconds))
        return SpokenTimeline(tuple(phonemes) if self.is_exact else (), tuple(self._words))


def silence(seconds: float) -> NDArray[np.float32]:
    """float32 (N,) of zeros."""
    return np.zeros(round(seconds * VOICE_RATE), np.float32)


def _loud(samples: NDArray[np.float32]) -> tuple[float, float] | None:
    """Seconds of the first and of the last block that is not silent."""
    blocks = len(samples) // _BLOCK
    if not blocks:
        return None
    level = np.sqrt(np.square(samples[: blocks * _BLOCK].reshape(blocks, _BLOCK)).mean(1))
    loud = np.flatnonzero(level > max(1e-4, _QUIET * float(level.max())))
    return (loud[0] * _BLOCK / VOICE_RATE, (loud[-1] + 1) * _BLOCK / VOICE_RATE) if len(loud) else None


def _moved(labels: Iterable[TimedLabel], offset: float, length: float) -> Iterable[TimedLabel]:
    for one in labels:
        start, end = max(0.0, one.start + offset), min(length, one.end + offset)
        if end > start:
            yield TimedLabel(one.label, start, end)
