"""From a text to speech, phrase by phrase."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SpokenText, SpokenTimeline
from sadtalker_service.errors import EngineUnavailable, InvalidOption, TextTooLong
from sadtalker_service.speech.voices import espeak, flite, kokoro_model
from sadtalker_service.speech.voices.catalogue import (
    ESPEAK_VOICES,
    FLITE_VOICES,
    KOKORO_VOICES,
    LANGUAGES,
    Source,
    VoiceCard,
    find_voice,
)
from sadtalker_service.speech.voices.english import EnglishReader
from sadtalker_service.speech.voices.espeak_reader import EspeakReader
from sadtalker_service.speech.voices.kokoro import KokoroVoice
from sadtalker_service.speech.voices.markup import FASTEST, SLOWEST, Break, parse_markup
from sadtalker_service.speech.voices.phrases import TextReader, phrases_of
from sadtalker_service.speech.voices.port import Phrase, Utterance, Voice
from sadtalker_service.speech.voices.scripts import without_pictures
from sadtalker_service.speech.voices.spanish import SpanishReader
from sadtalker_service.speech.voices.trimming import Timeline, silence

MOST_CHARACTERS = 5_000
LEAD, TAIL = 0.1, 0.25
"""Seconds of silence before the first and after the last phrase: lips begin and end at rest."""
_LONGEST_SILENCE = 60.0
_OWN_READERS = frozenset({"en-us", "en-gb", "es"})
"""Languages that are read without a program beside."""
_CHARACTERS_PER_SECOND = 13.0

Recital = Iterator[tuple[Utterance, float]]
"""Utterances, each with the seconds of silence after it."""


@dataclass(frozen=True)
class Script:
    """A text that is ready to be spoken."""

    card: VoiceCard
    phrases: tuple[Phrase, ...]
    lead: float
    """Seconds of silence before the first phrase."""
    warnings: tuple[str, ...] = ()
    """What of the text is not spoken."""


def installed_voices() -> tuple[VoiceCard, ...]:
    """The voices that can speak on this machine, the default one first."""
    has_espeak = espeak.is_installed()
    kokoro = kokoro_model.is_installed()
    return (
        *(card for card in KOKORO_VOICES if kokoro and (has_espeak or card.language in _OWN_READERS)),
        *(FLITE_VOICES if flite.is_installed() else ()),
        *(ESPEAK_VOICES if has_espeak else ()),
    )


def missing_languages() -> dict[str, str]:
    """Language of a Kokoro voice that cannot be read on this machine -> why, and what to do."""
    if not kokoro_model.is_installed():
        return {}
    found = dict.fromkeys(("ja", "zh"), "there is no reader for it here")
    if not espeak.is_installed():
        needed = {card.language for card in KOKORO_VOICES} - _OWN_READERS
        found |= dict.fromkeys(sorted(needed), "needs the program espeak-ng; install it")
    return found


def choose_voice(voice: str, language: str, voices: Sequence[VoiceCard] | None = None) -> VoiceCard:
    """The voice of a request. Raises `InvalidOption`, `EngineUnavailable` if there is none at all."""
    known = installed_voices() if voices is None else voices
    if not known:
        raise EngineUnavailable(
            "No voice is installed here. Run `make install`, or install flite or espeak-ng.", param="text"
        )
    return find_voice(voice, language, known)


def check_text(text: str, rate: float, param: str = "text") -> None:
    """Raises `InvalidOption` for an empty text and a rate out of bounds, `TextTooLong`."""
    if len(text) > MOST_CHARACTERS:
        raise TextTooLong(
            f"The text has {len(text):,} characters; at most {MOST_CHARACTERS:,} are spoken. Split it.",
            param=param,
        )
    if not text.strip():
        raise InvalidOption("The text is empty. Write what is to be spoken.", param=param)
    if not SLOWEST <= rate <= FASTEST:
        raise InvalidOption(f"rate is {rate:g}, but must be from {SLOWEST:g} to {FASTEST:g}.", param="rate")


def read_text(spoken: SpokenText, param: str = "text") -> Script:
    """The phrases of a text. Its voice must be the id of an installed one.

    Raises `InvalidOption` for a text without a word, with unknown markup or with another script;
    `TextTooLong`.
    """
    check_text(spoken.text, spoken.rate, param)
    card = choose_voice(spoken.voice, "")
    text, pictures = without_pictures(spoken.text)
    parts = parse_markup(text, param)
    silences = sum(part.seconds for part in parts if isinstance(part, Break))
    if silences > _LONGEST_SILENCE:
        raise InvalidOption(f"The breaks of a text may last {_LONGEST_SILENCE:g} s together.", param=param)
    try:
        phrases = phrases_of(parts, reader_for(card), spoken.rate)
    except InvalidOption as error:
        raise InvalidOption(error.message, param=param) from error
    if not phrases:
        raise InvalidOption("The text has no word that could be spoken.", param=param)
    lead = LEAD + (parts[0].seconds if isinstance(parts[0], Break) else 0.0)
    warnings = (f"{pictures} emoji in the text are not spoken.",) if pictures else ()
    return Script(card, tuple(phrases), lead, warnings)


def speak(script: Script, voice: Voice | None = None) -> Recital:
    """Speak the phrases of a script one after the other. Raises `EngineUnavailable`."""
    voice = voice or voice_for(script.card)
    for number, phrase in enumerate(script.phrases, 1):
        is_last = number == len(script.phrases)
        pause = max(TAIL, phrase.pause - 0.28) if is_last else phrase.pause
        yield voice.speak(phrase, script.card), pause


def recite(script: Script, voice: Voice | None = None) -> tuple[NDArray[np.float32], SpokenTimeline]:
    """Speak a script: float32 (N,) at 24 kHz, and the times of its words. Raises `EngineUnavailable`."""
    timeline = Timeline()
    timeline.add_silence(script.lead)
    pieces = [silence(script.lead)]
    for utterance, pause in speak(script, voice):
        timeline.add(utterance, pause)
        pieces += [utterance.samples, silence(pause)]
    return np.concatenate(pieces), timeline.finish()


def estimated_seconds(text: str, rate: float) -> float:
    """Estimated seconds to speak a text, on the high side. Limits and forecasts use it."""
    breaks = re.findall(r'<break[^>]*time="(\d+(?:\.\d+)?)(ms|s)"', text)
    silences = sum(float(number) / (1000 if unit == "ms" else 1) for number, unit in breaks)
    # a digit becomes a word, and so does a sign of another script
    weight = sum(5.0 if c.isdigit() else 1.0 for c in re.sub("<[^<>]*>", "", text))
    return 1.0 + weight / (_CHARACTERS_PER_SECOND * rate) + silences


@lru_cache(maxsize=16)
def reader_for(card: VoiceCard) -> TextReader:
    """The reader of texts for a voice. Loaded once per language."""
    if card.language in {"en-us", "en-gb"}:
        return EnglishReader.load(british=card.language == "en-gb")
    if card.language == "es":
        return SpanishReader()
    return EspeakReader(card.language, LANGUAGES[card.language])


@lru_cache(maxsize=4)
def _voice_of(source: Source, threads: int) -> Voice:
    makers: Mapping[Source, Callable[[], Voice]] = {
        "kokoro": lambda: KokoroVoice(partial(kokoro_model.load_model, threads)),
        "flite": flite.FliteVoice,
        "espeak": espeak.EspeakVoice,
    }
    return makers[source]()


def voice_for(card: VoiceCard, threads: int = 0) -> Voice:
    """The voice of `card`, ready to speak. `threads`: 0 for as many as help, which is two."""
    return _voice_of(card.source, threads or min(2, len(os.sched_getaffinity(0))))
