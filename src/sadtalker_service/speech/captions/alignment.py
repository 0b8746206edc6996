"""When the words of a text are spoken in a recording of it: forced alignment with pocketsphinx."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Decoder

from sadtalker_service.domain import SPEECH_RATE, Speech, TimedLabel
from sadtalker_service.media.voice_activity import TICK, activity
from sadtalker_service.speech.voices.arpabet import arpabet_of
from sadtalker_service.speech.voices.english import EnglishReader
from sadtalker_service.speech.voices.kokoro import label_of
from sadtalker_service.speech.voices.port import Token
from sadtalker_service.speech.voices.scripts import without_pictures


def align_words(speech: Speech, text: str) -> tuple[tuple[TimedLabel, ...], bool]:
    """The words of `text`, English, with the times at which they are spoken, and whether they were found.

    Where the text cannot be found in the sound, its words are spread over the stretches with a voice. Raises
    `InvalidOption` for a text that cannot be read.
    """
    cleaned, _ = without_pictures(text)
    tokens = [token for token in EnglishReader.load(british=False).read(cleaned) if token.spoken]
    if not tokens or not activity(speech.samples).active.any():
        return (), False
    heard = _aligned(speech.samples, tokens)
    return (heard, True) if heard else (_spread(speech, tokens), False)


def _aligned(samples: NDArray[np.float32], tokens: Sequence[Token]) -> tuple[TimedLabel, ...]:
    """Empty where the search does not reach the end of the sound."""
    decoder = Decoder(
        samprate=SPEECH_RATE, loglevel="FATAL", bestpath=False, lm=None, beam=1e-80, wbeam=1e-60
    )
    names: list[str] = []
    for number, token in enumerate(tokens):
        name = f"word{number}"
        decoder.add_word(name, " ".join(_phones(token.spoken)) or "AH", number == len(tokens) - 1)
        names.append(name)
    decoder.set_align_text(" ".join(names))
    pcm = (np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    found = {
        segment.word: (segment.start_frame / 100, (segment.end_frame + 1) / 100)
        for segment in decoder.seg() or ()
        if segment.word.startswith("word")
    }
    if decoder.hyp() is None or set(found) != set(names):
        return ()
    return tuple(TimedLabel(_written(token), *found[name]) for token, name in zip(tokens, names, strict=True))


def _phones(spoken: str) -> list[str]:
    """In ARPAbet; `ɜɹ` is one of its phonemes."""
    phones = (arpabet_of(label_of(sound)) for sound in re.sub("ɜɹ", "ɜ", spoken))
    return [name for name, _ in groupby(phone for phone in phones if phone is not None)]


def _spread(speech: Speech, tokens: Sequence[Token]) -> tuple[TimedLabel, ...]:
    """Each word takes the share of the voiced time that its phonemes have of the text."""
    active = np.flatnonzero(activity(speech.samples).active)
    if not len(active) or not tokens:
        return ()
    lengths = np.array([len(token.spoken) + 1 for token in tokens], float)
    edges = np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum()]) * (len(active) - 1)
    times = active[np.rint(edges).astype(int)] * TICK / SPEECH_RATE
    return tuple(
        TimedLabel(_written(token), float(start), float(max(start, end)))
        for token, start, end in zip(tokens, times, times[1:], strict=False)
    )


def _written(token: Token) -> str:
    return token.written + token.mark.rstrip("¶")
