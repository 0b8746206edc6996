"""Which letters a voice can read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from sadtalker_service.errors import InvalidOption

_NOT_READ = re.compile(
    "[\U0001f000-\U0001faff\U00002600-\U000027bf\U0001f1e6-\U0001f1ff\ufe0f\u200d\u200b-\u200f\u2060\ufeff\u00ad]"
)
"""Pictures and marks that are not spoken."""


def without_pictures(text: str) -> tuple[str, int]:
    """The text without emoji and invisible marks, and how many pictures it had."""
    cleaned = _NOT_READ.sub(" ", text)
    pictures = sum(1 for c in text if ord(c) >= 0x2600 and _NOT_READ.match(c) and c not in "\ufe0f\ufeff")
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else " " for c in cleaned), pictures


def check_scripts(text: str, language: str, scripts: Sequence[str], param: str = "text") -> None:
    """Raises `InvalidOption` for a letter that is of none of `scripts`, which are words of Unicode names."""
    for word in text.split():
        for letter in word:
            if letter.isalpha() and not _name(letter).startswith(tuple(scripts)):
                script = _name(letter).split(" ")[0].capitalize() or "unknown"
                raise InvalidOption(
                    f"The text has {script} letters ({word[:30]}), and this voice reads {language}."
                    f" Choose a voice of that language, or write the word in its letters.",
                    param=param,
                )


def _name(letter: str) -> str:
    name = unicodedata.name(letter, "")
    for ignored in ("FULLWIDTH ", "FEMININE ", "MASCULINE ", "MODIFIER LETTER ", "MICRO "):
        name = name.removeprefix(ignored)
    return (
        "LATIN" if name.startswith(("ORDINAL", "SIGN", "MATHEMATICAL", "SCRIPT", "DOUBLE-STRUCK")) else name
    )
