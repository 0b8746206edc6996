"""espeak-ng, where it is installed: it writes phonemes of many languages, and can speak itself.

It is a program beside this service (GPL-3.0): it is run, not linked.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sadtalker_service.domain import TimedLabel
from sadtalker_service.speech.voices.catalogue import VoiceCard
from sadtalker_service.speech.voices.flite import plain_text, read_wave
from sadtalker_service.speech.voices.port import VOICE_RATE, Phrase, Utterance
from sadtalker_service.speech.voices.programs import find_program, run_program
from sadtalker_service.speech.voices.tables import table
from sadtalker_service.speech.voices.trimming import trimmed
from sadtalker_service.speech.voices.word_times import spread_words

PROGRAM = "espeak-ng"
_NAMES = {"fr": "fr-fr"}
_WORDS_PER_MINUTE = 165
_TIED = table(
    """
    a^ɪ I, a^ʊ W, d^z ʣ, d^ʒ ʤ, e^ɪ A, o^ʊ O, ə^ʊ Q, s^s S, t^s ʦ, t^ʃ ʧ, ɔ^ɪ Y
    """
)
"""What espeak-ng ties together -> Kokoro's letter for it."""
_OTHER = {
    "ɚ": "əɹ",
    "ɝ": "ɜɹ",
    "g": "ɡ",
    "ɫ": "l",
    "ɬ": "l",
    "ɦ": "h",
    "ɭ": "l",
    "ʱ": "ʰ",
    "\u0329": "",
    "^": "",
}


def is_installed() -> bool:
    """Whether the program is there."""
    return find_program(PROGRAM) is not None


@lru_cache(maxsize=4_096)
def phonemes_of(line: str, language: str) -> str:
    """One line of text in Kokoro's phonemes, words separated by spaces. Raises `EngineUnavailable`."""
    arguments = ["-q", "--ipa", "--tie=^", "-v", _NAMES.get(language, language), "-b", "1"]
    said = run_program(PROGRAM, arguments, f"{line}\n").decode(errors="replace")
    text = re.sub(r"\([a-z-]+\)", "", " ".join(said.split()))  # it names a language that it changes to
    for tied, letter in _TIED.items():
        text = text.replace(tied, letter)
    for sound, letter in _OTHER.items():
        text = text.replace(sound, letter)
    return re.sub("[-_]", "", text).strip()


class EspeakVoice:
    """Speaks with the program espeak-ng. It does not tell when it says what: lips follow by recognition."""

    version = "espeak-1"

    def speak(self, phrase: Phrase, card: VoiceCard) -> Utterance:
        """Speak a phrase. Raises `EngineUnavailable`."""
        speed = round(_WORDS_PER_MINUTE * phrase.rate)
        arguments = ["--stdout", "-b", "1", "-v", _NAMES.get(card.language, card.language), "-s", str(speed)]
        samples = read_wave(run_program(PROGRAM, arguments, f"{plain_text(phrase)}\n"))
        utterance = trimmed(Utterance(samples, (), ()))
        length = len(utterance.samples) / VOICE_RATE
        whole = (TimedLabel("?", 0.05, max(0.05, length - 0.08)),)
        return Utterance(utterance.samples, (), spread_words(phrase.tokens, whole))
