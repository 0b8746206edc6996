"""Corrects phoneme times where the network's durations are off: before pauses, and for m after a vowel."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import TimedLabel
from sadtalker_service.speech.phonemes import SILENCE
from sadtalker_service.speech.visemes import visemes_of
from sadtalker_service.speech.voices.port import VOICE_RATE, Utterance

_LATE = {(False, True): 0.015, (True, False): 0.025, (True, True): 0.060}
"""(before a pause, m or n) -> seconds by which a consonant begins late after a vowel. The network lengthens
what is before a pause, and gives the nasal end of a vowel to the vowel."""
_NASALS = frozenset("mnɲŋ")
_SHORTEST = 0.030
_QUIET = 0.02
"""Share of the loudest block below which nothing is heard any more, -34 dB."""
_BLOCK = 120
"""5 ms."""
_STOPS = frozenset("pbtdkɡcɟʈɖ")
_CLOSED = 0.060
"""Seconds before its burst at which a stop after a silence begins. Nothing is heard of its beginning."""
_VOWELS = frozenset({"aa", "E", "I", "O", "U"})


def settled(utterance: Utterance) -> Utterance:
    """An utterance of the network with corrected times.

    The last sound before a pause has all of the silence after it in its duration: it ends where it fades. A
    word after a pause without punctuation has the silence in its first sound.
    """
    level = _level(utterance.samples)
    phonemes: list[TimedLabel] = []
    ends: dict[float, float] = {}
    following = [*utterance.phonemes[1:], TimedLabel(SILENCE, 0.0, 0.0)]
    for one, then in zip(utterance.phonemes, following, strict=False):
        last = then.label == SILENCE and one.label != SILENCE
        start = one.start
        if phonemes and _begins_word(one, utterance.words):
            start = _after_silence(level, one.label, one.start, one.end)
        if phonemes and start == one.start and not _is_vowel(one.label) and _is_vowel(phonemes[-1].label):
            late = _LATE.get((last, one.label in _NASALS), 0.0)
            start = max(min(start, phonemes[-1].start + _SHORTEST), start - late)
        if phonemes and SILENCE not in {one.label, phonemes[-1].label}:
            phonemes[-1] = replace(phonemes[-1], end=start)
        end = one.end
        if last:
            ends[end] = end = min(end, max(start + _SHORTEST, _fades(level, start, end)))
        phonemes.append(TimedLabel(one.label, start, end))
    words = tuple(
        replace(word, end=max(word.start, ends.get(word.end, word.end))) for word in utterance.words
    )
    return Utterance(utterance.samples, tuple(_without_gaps(phonemes)), words)


def _without_gaps(phonemes: list[TimedLabel]) -> list[TimedLabel]:
    """A pause begins where the sound before it ends."""
    closed = phonemes[:1]
    for before, one in pairwise(phonemes):
        closed.append(replace(one, start=before.end) if one.label == SILENCE else one)
    return closed


def _is_vowel(label: str) -> bool:
    return visemes_of(label)[0] in _VOWELS


def _level(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (blocks,) loudness, 1 for the loudest block."""
    blocks = samples[: len(samples) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    level = np.sqrt(np.square(blocks).mean(axis=1)) if len(blocks) else np.zeros(1, np.float32)
    return np.asarray(level / max(float(level.max()), 1e-6), np.float32)


def _begins_word(phoneme: TimedLabel, words: tuple[TimedLabel, ...]) -> bool:
    return any(phoneme.start <= word.start < phoneme.end for word in words)


def _after_silence(level: NDArray[np.float32], label: str, start: float, end: float) -> float:
    """When a stop or a nasal is formed, seconds, if it begins with silence."""
    if label not in _STOPS | _NASALS:
        return start
    first, stop = (round(time * VOICE_RATE / _BLOCK) for time in (start, end + _SHORTEST))
    silent = int(np.argmax(np.append(level[first:stop] > _QUIET, True)))
    heard = (first + silent) * _BLOCK / VOICE_RATE - (_CLOSED if label in _STOPS else 0.0)
    return max(start, min(heard, end - _SHORTEST)) if silent else start


def _fades(level: NDArray[np.float32], start: float, end: float) -> float:
    """The time after which the sound between `start` and `end` is silent, seconds."""
    first, stop = (round(time * VOICE_RATE / _BLOCK) for time in (start, end))
    loud = np.flatnonzero(level[first:stop] > _QUIET)
    return (first + int(loud[-1]) + 1) * _BLOCK / VOICE_RATE if len(loud) else start
