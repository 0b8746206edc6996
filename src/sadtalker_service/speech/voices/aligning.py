"""Corrects phoneme times by what is heard: forced alignment of a phrase with pocketsphinx.

The durations of a network differ from its sound by up to 80 ms, most of all at the end of a phrase. The
acoustic model is English. Sounds of other languages are replaced by the nearest English ones. It takes 0.024
of the length of the sound, while other threads wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import soxr
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, TimedLabel
from sadtalker_service.speech.phonemes import SILENCE
from sadtalker_service.speech.voices.arpabet import arpabet_of
from sadtalker_service.speech.voices.port import VOICE_RATE, Utterance

if TYPE_CHECKING:
    from pocketsphinx import Decoder

_HEARD = 0.8
"""Share of the alignment in a time. The rest is that of the network: closures are about as near to
the fall of the sound with 0.67 to 1 (docs/voices.md)."""
_FARTHEST = 0.100
"""Seconds. An alignment that is farther from the network's time has put a pause into the phoneme."""
_SHORTEST = 0.020
_FRAME = 0.01

_Sound = tuple[int, str]
"""The number of a phoneme, and the English sound that is nearest to it."""


def aligned(utterance: Utterance) -> Utterance:
    """An utterance whose phonemes begin where they are heard.

    The sound of a phrase ends where it ended. A phrase that cannot be aligned keeps its times, and so does
    every phrase without pocketsphinx.
    """
    phonemes = utterance.phonemes
    starts = np.array([one.start for one in phonemes])
    for number, heard in _heard(utterance).items():
        if abs(heard - starts[number]) <= _FARTHEST:
            starts[number] += _HEARD * (heard - starts[number])
    fixed = [one.label == SILENCE for one in phonemes]
    for i in range(len(phonemes) - 2, -1, -1):
        if not fixed[i]:
            starts[i] = min(starts[i], starts[i + 1] - _SHORTEST)
    for i in range(1, len(phonemes)):
        if not fixed[i]:
            starts[i] = max(starts[i], starts[i - 1] + _SHORTEST)
    return Utterance(utterance.samples, tuple(_beginning_at(starts.tolist(), phonemes)), utterance.words)


def _beginning_at(starts: list[float], phonemes: tuple[TimedLabel, ...]) -> Iterator[TimedLabel]:
    """The phonemes with other starts. Neighbours stay neighbours."""
    for number, one in enumerate(phonemes):
        is_last = number + 1 == len(phonemes)
        end = one.end if is_last or phonemes[number + 1].start > one.end + 1e-6 else starts[number + 1]
        if end > starts[number]:
            yield replace(one, start=starts[number], end=end)


def _heard(utterance: Utterance) -> Mapping[int, float]:
    """Seconds at which phonemes begin, by their number. Empty if the phrase cannot be aligned."""
    words = list(_by_word(utterance))
    decoder = _decoder() if words else None
    if decoder is None:
        return {}
    names = [f"word{number}" for number in range(len(words))]
    for name, word in zip(names, words, strict=True):
        decoder.add_word(name, " ".join(sound for _, sound in word), name == names[-1])
    decoder.set_align_text(" ".join(names))
    found = _starts(decoder, utterance.samples)
    if [len(word) for word in found] != [len(word) for word in words]:
        return {}
    pairs = zip(words, found, strict=True)
    return {n: start for word, heard in pairs for (n, _), start in zip(word, heard, strict=True)}


def _by_word(utterance: Utterance) -> Iterator[list[_Sound]]:
    """The phonemes that are no pause, in their words. The search allows for a pause between words."""
    begins = np.array([word.start for word in utterance.words])

    def word_of(sound: _Sound) -> int:
        one = utterance.phonemes[sound[0]]
        return int(np.searchsorted(begins, (one.start + one.end) / 2))

    sounds = ((number, arpabet_of(one.label)) for number, one in enumerate(utterance.phonemes))
    spoken = ((number, sound) for number, sound in sounds if sound is not None)
    return (list(word) for _, word in groupby(spoken, key=word_of))


def _starts(decoder: Decoder, samples: NDArray[np.float32]) -> list[list[float]]:
    """Seconds at which the sounds of each word begin; empty if the search does not reach the end."""
    heard = soxr.resample(samples, VOICE_RATE, SPEECH_RATE)
    pcm = (np.clip(heard, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
    try:
        _search(decoder, pcm)
        decoder.set_alignment()
        _search(decoder, pcm)
    except RuntimeError:
        return []
    words = decoder.get_alignment() or ()
    # read at once: words and sounds belong to the alignment, which is not kept
    return [[sound.start * _FRAME for sound in word] for word in words if word.name.startswith("word")]


def _search(decoder: Decoder, pcm: bytes) -> None:
    decoder.start_utt()
    try:
        # as a whole, because in pieces it adapts to the voice too late: errors are larger by a third
        decoder.process_raw(pcm, full_utt=True)
    finally:
        decoder.end_utt()


def _decoder() -> Decoder | None:
    """A new one for every phrase, because a used one remembers what it heard. It loads in 0.01 s."""
    try:
        from pocketsphinx import Decoder, get_model_path  # noqa: PLC0415  50 MB that few texts need
    except ImportError:  # no wheel for this platform
        return None
    model = get_model_path("en-us/en-us")
    return Decoder(hmm=model, lm=None, dict=None, samprate=SPEECH_RATE, loglevel="FATAL", bestpath=False)
