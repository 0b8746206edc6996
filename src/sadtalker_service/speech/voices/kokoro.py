"""Kokoro as a `Voice`: phrases in, sound and the times of its phonemes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sadtalker_service.domain import TimedLabel
from sadtalker_service.speech.phonemes import SILENCE
from sadtalker_service.speech.voices.aligning import aligned
from sadtalker_service.speech.voices.catalogue import VoiceCard
from sadtalker_service.speech.voices.kokoro_model import MOST_PHONEMES, SOUNDS, UNIT, KokoroModel
from sadtalker_service.speech.voices.port import VOICE_RATE, Phrase, Token, Utterance
from sadtalker_service.speech.voices.settling import settled
from sadtalker_service.speech.voices.tables import table
from sadtalker_service.speech.voices.trimming import trimmed

LATE = 0.060
"""Seconds by which the network's durations are late against what is heard (docs/voices.md)."""

_OF_THE_SPACE = 0.6
"""Share of the space before a word in which its first sound is already formed."""

_STRESS = frozenset("ˈˌ")
_LENGTHENS = frozenset("ː\u0303ʰʲᵝ")
_SILENT = frozenset(' .!?,;:—…"()“”')
_LABELS = table(
    """
    A EY, I AY, O OW, Q OW, W AW, Y OY, ʤ JH, ʧ CH, ᵊ ə, ᵻ ɪ, ʣ dz, ʦ ts, ʨ tɕ, ʥ dʑ, ꭧ tʂ, S ʃ, T t, ɜ ER
    """
)
"""Phonemes that Kokoro writes in its own way -> labels as in `speech.phonemes`."""


@dataclass(frozen=True)
class _Heard:
    """A sound of a phrase in units of `UNIT` samples, and the number of its token."""

    sound: str
    start: int
    end: int
    token: int


class KokoroVoice:
    """Speaks with the network, which is loaded for the first phrase."""

    version = "kokoro-3"

    def __init__(self, load: Callable[[], KokoroModel]) -> None:
        """`load` gives the network."""
        self._load = load

    def speak(self, phrase: Phrase, card: VoiceCard) -> Utterance:
        """Speak a phrase. Raises `EngineUnavailable`."""
        sounds, owners = sounds_of(phrase.tokens)
        samples, durations = self._load()(sounds, card.id, phrase.rate)
        edges = np.concatenate([[0], np.cumsum(durations)])
        heard = [
            _Heard(sound, int(edges[i + 1]), int(edges[i + 2]), owners[i]) for i, sound in enumerate(sounds)
        ]
        length = len(samples) / VOICE_RATE
        phonemes = _phonemes(heard, length)
        words = _words(heard, phrase.tokens, length)
        return trimmed(aligned(settled(Utterance(samples, phonemes, words))))


def sounds_of(tokens: Sequence[Token]) -> tuple[str, list[int]]:
    """The string that the network speaks, and for each of its characters the number of the token.

    Sounds that the network does not know, and those beyond its longest phrase, are left out.
    """
    sounds: list[str] = []
    owners: list[int] = []
    for number, token in enumerate(tokens):
        text = "".join(c for c in token.spoken if c in SOUNDS) + token.mark
        if number:
            text = f" {text}"
        sounds += text
        owners += [number] * len(text)
    return "".join(sounds)[:MOST_PHONEMES], owners[:MOST_PHONEMES]


def label_of(sound: str) -> str:
    """The label of a sound of the network, as in `speech.phonemes`."""
    return _LABELS.get(sound, sound)


def _phonemes(heard: Sequence[_Heard], length: float) -> tuple[TimedLabel, ...]:
    """Phonemes with pauses at punctuation. A stress mark belongs to its vowel, a part of the space between
    words to the sound that follows: there the mouth closes for it already (docs/voices.md)."""
    found: list[list[object]] = []
    early: float | None = None
    paused = True
    for one in heard:
        if one.sound in _STRESS or (one.sound == " " and not paused):
            own = one.start if one.sound != " " else one.end - _OF_THE_SPACE * (one.end - one.start)
            early = own if early is None else early
        elif one.sound in _LENGTHENS:
            if found:
                found[-1][2] = one.end
        elif one.sound in _SILENT:
            if paused and found:
                found[-1][2] = one.end
            else:
                found.append([SILENCE, one.start, one.end])
            early, paused = None, True
        else:
            start = one.start if early is None else early
            found.append([label_of(one.sound), start, one.end])
            early, paused = None, False
    return tuple(
        TimedLabel(str(label), _seconds(start, length), _seconds(end, length)) for label, start, end in found
    )


def _words(heard: Sequence[_Heard], tokens: Sequence[Token], length: float) -> tuple[TimedLabel, ...]:
    words = []
    for number, token in enumerate(tokens):
        own = [one for one in heard if one.token == number and one.sound not in _SILENT]
        if own:
            written = token.written + token.mark.replace("—", " —")
            words.append(TimedLabel(written, _seconds(own[0].start, length), _seconds(own[-1].end, length)))
    return tuple(words)


def _seconds(unit: object, length: float) -> float:
    """The time at which a sound is heard that the network has at `unit`."""
    seconds = float(str(unit)) * UNIT / VOICE_RATE - LATE
    return float(min(max(0.0, seconds), length))
