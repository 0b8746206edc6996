"""Read English: from text to tokens with phonemes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from sadtalker_service.speech.voices import english_tables as tables
from sadtalker_service.speech.voices.english_text import EnglishText, unit_name
from sadtalker_service.speech.voices.english_words import EnglishWords, starts_with_vowel, unaccented
from sadtalker_service.speech.voices.heteronyms import tag_of
from sadtalker_service.speech.voices.port import Token
from sadtalker_service.speech.voices.scripts import check_scripts
from sadtalker_service.speech.voices.splitting import Piece, split

_DOTTED = re.compile(r"[^\W\d_](?:\.[^\W\d_])+")
"""`u.s.a`, without its last full stop."""
_SPACED_NUMBER = re.compile(r"(?<![\w.])(\+\d{1,3}|\(\d{2,5}\))((?: \d{2,4}){2,4})(?![\w.]\d)")
"""A telephone number with spaces: `+1 415 555 2671`."""
_WEAK = {"the": ("ðə", "ði"), "to": ("tə", "tʊ"), "a": ("ɐ", "ɐ"), "an": ("ɐn", "ɐn")}
"""Words without stress, before a consonant and before a vowel."""


class EnglishReader:
    """A `Reader` for American or British English."""

    def __init__(self, *, british: bool) -> None:
        self._words = EnglishWords(british=british)
        self._text = EnglishText(british=british, is_known=self._words.is_known)

    @classmethod
    @lru_cache(maxsize=2)
    def load(cls, *, british: bool) -> EnglishReader:
        """The reader of a variety, loaded once."""
        return cls(british=british)

    def read(self, text: str) -> list[Token]:
        """Tokens of a text without markup. Raises `InvalidOption` for letters of another script."""
        check_scripts(text, "English", ("LATIN", "GREEK"))
        text = _SPACED_NUMBER.sub(lambda found: found[0].replace(" ", "-"), text)
        pieces = split(text, _is_abbreviation)
        written = [piece.text for piece in pieces]
        return self._tokens(pieces, [self._spoken(written, i) for i in range(len(pieces))])

    def read_as(self, text: str, kind: str) -> list[Token]:
        """Tokens of the text of `<say-as>`."""
        piece = Piece(" ".join(text.split()), "")
        return self._tokens([piece], [self._text.said_as(text, kind)])

    def _spoken(self, written: Sequence[str], i: int) -> str:
        """Piece `i` in plain words; empty where the piece before has said it already."""
        word, before = written[i], written[i - 1] if i else ""
        if before[:1] in tables.CURRENCIES and word.lower() in tables.MAGNITUDES and before[1:2].isdigit():
            return ""
        is_unit = word.lower() in tables.UNITS and word.lower() not in tables.ALONE
        if is_unit and before[-1:].isdigit() and not before[:1].isalpha():
            return unit_name(word, single=before == "1")
        return self._text.words(written, i)

    def _tokens(self, pieces: Sequence[Piece], spoken: Sequence[str]) -> list[Token]:
        """Pronounced from the last word to the first, because some depend on the sound that follows."""
        flat = [(number, word) for number, words in enumerate(spoken) for word in words.split()]
        words = [word for _, word in flat]
        phonemes: list[str] = [""] * len(flat)
        following = ""
        for i in range(len(flat) - 1, -1, -1):
            number, _ = flat[i]
            last_of_piece = i + 1 == len(flat) or flat[i + 1][0] != number
            ends = bool(last_of_piece and pieces[number].mark) or i + 1 == len(flat)
            phonemes[i] = self._pronounce(words, i, "" if ends else following, ends=ends)
            following = phonemes[i]
        tokens = []
        at = 0
        for piece, said in zip(pieces, spoken, strict=True):
            count = len(said.split())
            sounds = " ".join(filter(None, phonemes[at : at + count]))
            tokens.append(Token(piece.text, sounds, piece.mark, said.replace("_", "")))
            at += count
        return tokens

    def _pronounce(self, words: Sequence[str], i: int, following: str, *, ends: bool) -> str:
        word = words[i]
        if word.startswith("_"):
            return self._words.spell(word[1:])
        lower = word.lower()
        before_vowel = starts_with_vowel(following)
        if lower in _WEAK and not ends:
            return _WEAK[lower][before_vowel]
        if word == "I":
            return "ˌI"
        if len(word) == 1:
            return self._words.spell(word)
        return self._words.pronounce(word, _near(words, i, ends=ends))


def _near(words: Sequence[str], i: int, *, ends: bool) -> str:
    """The tag of a word, from at most a dozen words around it."""
    first = max(0, i - 6)
    return tag_of(words[first : i + 7 if not ends else i + 1], i - first, ends=ends)


def _is_abbreviation(word: str, following: str) -> bool:
    """Whether the full stop at the end of `word` belongs to it and does not end a sentence."""
    key = word.lower().rstrip(".")
    if key in {"a.m", "p.m", "u.s", "u.k", "etc", "inc", "ltd", "co", "corp", "jr", "sr"}:
        return not following[:1].isupper()
    if key in tables.NEED_NUMBER:
        return following[:1].isdigit()
    single = len(key) == 1 and unaccented(key).isalpha() and word[:1].isupper() and following[:1].isupper()
    return key in tables.ABBREVIATIONS or key in {"st", "dr"} or bool(_DOTTED.fullmatch(key)) or single
