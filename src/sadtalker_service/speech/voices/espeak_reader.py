"""Read languages for which espeak-ng writes the phonemes: French, Italian, Portuguese, Hindi."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from sadtalker_service.speech.voices.espeak import phonemes_of
from sadtalker_service.speech.voices.numerals import in_words
from sadtalker_service.speech.voices.port import Token
from sadtalker_service.speech.voices.scripts import check_scripts
from sadtalker_service.speech.voices.splitting import Piece, split

_SCRIPTS = {"hi": ("DEVANAGARI", "LATIN")}
_NUMBER = re.compile(r"(\d[\d.,\u202f']*)(.*)", re.DOTALL)
_LANGUAGES_OF_NUMBERS = {"pt-br": "pt_BR"}


class EspeakReader:
    """A reader of one language. Words between two marks are read together: that gives liaisons, and articles
    without a stress. Where the program joins or parts words, each is read for itself, because it does not say
    where they begin."""

    def __init__(self, language: str, name: str) -> None:
        """`name`: of the language, for messages."""
        self._language = language
        self._name = name

    def read(self, text: str) -> list[Token]:
        """Tokens of a text without markup. Raises `InvalidOption`, `EngineUnavailable`."""
        check_scripts(text, self._name, _SCRIPTS.get(self._language, ("LATIN",)))
        pieces = split(text)
        tokens: list[Token] = []
        clause: list[Piece] = []
        for piece in pieces:
            clause.append(piece)
            if piece.mark or piece is pieces[-1]:
                tokens += self._clause(clause)
                clause = []
        return tokens

    def _clause(self, pieces: list[Piece]) -> Iterator[Token]:
        said = [self._said(piece.text) for piece in pieces]
        sounds = iter(phonemes_of(" ".join(said), self._language).split())
        counts = [len(words.split()) for words in said]
        together = [" ".join(islice(sounds, count)) for count in counts]
        if next(sounds, None) is not None or not all(together):
            together = [phonemes_of(words, self._language) for words in said]
        for piece, words, spoken in zip(pieces, said, together, strict=True):
            yield Token(piece.text, spoken, piece.mark, words)

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
