"""Numbers as words, in many languages."""

from __future__ import annotations

from typing import Literal

from num2words2 import num2words

_POINTS = {"pt_BR": (" ponto ", " vírgula ")}
"""What num2words2 says for the decimal sign, and what is said: Brazil writes 3,5."""


def in_words(number: int | str, language: str, kind: Literal["cardinal", "ordinal"] = "cardinal") -> str:
    """A whole number, or a number in digits with a decimal point, as words of `language` (`en`, `pt_BR`).

    Raises `ValueError` if it cannot be said.
    """
    try:
        said = str(num2words(number, lang=language, to=kind))  # type: ignore[no-untyped-call]  # it has no types
    except (NotImplementedError, OverflowError, TypeError) as error:
        raise ValueError(f"{number!r} cannot be said in {language}") from error
    wrong, right = _POINTS.get(language, ("", ""))
    return said.replace(wrong, right) if wrong else said
