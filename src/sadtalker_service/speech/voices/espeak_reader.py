"""Read languages for which espeak-ng writes the phonemes: French, Italian, Portuguese, Hindi."""

from __future__ import annotations

import re

from sadtalker_service.speech.voices.espeak import phonemes_of
from sadtalker_service.speech.voices.numerals import in_words
from sadtalker_service.speech.voices.port import Token
from sadtalker_service.speech.voices.scripts import check_scripts
from sadtalker_service.speech.voices.splitting import split

_SCRIPTS = {"hi": ("DEVANAGARI", "LATIN")}
_NUMBER = re.compile(r"(\d[\d.,\u202f']*)(.*)", re.DOTALL)
_LANGUAGES_OF_NUMBERS = {"pt-br": "pt_BR"}


class EspeakReader:
    """A reader of one language. Every word is read for itself: the program does not say where words begin."""

    def __init__(self, language: str, name: str) -> None:
        """`name`: of the language, for messages."""
        self._language = language
        self._name = name

    def read(self, text: str) -> list[Token]:
        """Tokens of a text without markup. Raises `InvalidOption`, `EngineUnavailable`."""
        check_scripts(text, self._name, _SCRIPTS.get(self._language, ("LATIN",)))
        pieces = split(text)
        said = [self._said(piece.text) for piece in pieces]
        return [
            Token(piece.text, phonemes_of(words, self._language), piece.mark, words)
            for piece, words in zip(pieces, said, strict=True)
        ]

    def read_as(self, text: str, kind: str) -> list[Token]:
        """Tokens of the text of `<say-as>`: letter by letter, or as text."""
        apart = kind in {"characters", "spell-out", "verbatim", "digits", "telephone"}
        said = " ".join(c for c in text if not c.isspace()) if apart else self._said(text)
        return [Token(text.strip(), phonemes_of(said, self._language), "", said)]

    def _said(self, word: str) -> str:
        found = _NUMBER.fullmatch(word)
        if not found:
            return word
        digits = re.sub(r"[.\u202f'](?=\d{3})", "", found[1]).replace(",", ".").rstrip(".")
        try:
            words = in_words(digits, _LANGUAGES_OF_NUMBERS.get(self._language, self._language))
        except ValueError:
            return word
        return f"{words} {found[2]}".strip()
