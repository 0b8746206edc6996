"""Read plain text, and the SSML elements `speak`, `p`, `s`, `break`, `phoneme`, `say-as`, `prosody` and
`sub`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from xml.etree import ElementTree

from sadtalker_service.errors import InvalidOption

LONGEST_BREAK = 10.0
"""Seconds of one `<break>`."""
SLOWEST, FASTEST = 0.5, 2.0
"""Bounds of the rate. Voices become unintelligible beyond."""

_ELEMENTS = ("speak", "p", "s", "break", "phoneme", "say-as", "prosody", "sub", "emphasis")
_LOOKS_LIKE_SSML = re.compile(rf"</?({'|'.join(_ELEMENTS)})\b[^<>]*>")
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.6}
_STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.7, "x-strong": 1.0}
_KINDS = (
    "characters",
    "spell-out",
    "verbatim",
    "digits",
    "telephone",
    "cardinal",
    "number",
    "ordinal",
    "date",
    "time",
)
_PARAGRAPH = "\n\n"


@dataclass(frozen=True)
class Span:
    """A stretch of text that is read in one way."""

    text: str
    rate: float = 1.0
    """Relative to the rate of the request."""
    kind: str = ""
    """`interpret-as` of `<say-as>`; empty for text."""
    phonemes: str = ""
    """IPA of `<phoneme>`; empty if the text is to be read."""


@dataclass(frozen=True)
class Break:
    """A pause."""

    seconds: float


Part = Span | Break


def parse_markup(text: str, param: str = "text") -> list[Part]:
    """Parse `text`. It is SSML if it has one of the elements, and plain text otherwise.

    Raises `InvalidOption` for SSML that is not well-formed, and for an unknown element or value.
    """
    if not _LOOKS_LIKE_SSML.search(text):
        return [Span(text)]
    if "<!" in text:
        raise InvalidOption("SSML must not have a document type, comments or CDATA here.", param=param)
    inner = text.strip()
    whole = inner if re.match(r"<(\?xml|speak\b)", inner) else f"<speak>{inner}</speak>"
    try:
        root = ElementTree.fromstring(whole)  # noqa: S314  no document type, so no entities to expand
    except ElementTree.ParseError as error:
        raise InvalidOption(
            f"The SSML is not well-formed ({error}). Close every element, and write &amp; for & and &lt;"
            " for <.",
            param=param,
        ) from error
    try:
        return list(_parts(root, Span("")))
    except ValueError as error:
        raise InvalidOption(str(error), param=param) from error
    except RecursionError as error:
        raise InvalidOption("The SSML is nested too deeply.", param=param) from error


def _parts(element: ElementTree.Element, style: Span) -> Iterator[Part]:
    name = element.tag.rpartition("}")[2]
    if name not in _ELEMENTS:
        raise ValueError(f"<{name}> is not supported in SSML here; these are: {', '.join(_ELEMENTS)}.")
    if name == "break":
        yield Break(_break_seconds(element))
        return
    if name == "sub":
        yield replace(style, text=element.get("alias", ""))
        return
    style = _styled(element, name, style)
    yield from _texts(element.text, style)
    for child in element:
        yield from _parts(child, style)
        yield from _texts(child.tail, style)
    if name in {"p", "s"}:
        yield Span(_PARAGRAPH)


def _texts(text: str | None, style: Span) -> Iterator[Span]:
    if text and text.strip():
        yield replace(style, text=text)


def _styled(element: ElementTree.Element, name: str, style: Span) -> Span:
    if name == "prosody":
        rate = style.rate * _rate(element.get("rate", "medium"))
        return replace(style, rate=min(FASTEST, max(SLOWEST, rate)))
    if name == "phoneme":
        if element.get("alphabet", "ipa").lower() != "ipa":
            raise ValueError('<phoneme> is read in the alphabet "ipa" only.')
        return replace(style, phonemes=element.get("ph", "").strip())
    if name == "say-as":
        kind = element.get("interpret-as", "").lower()
        if kind not in _KINDS:
            raise ValueError(f'<say-as> knows interpret-as="{"|".join(_KINDS)}", not "{kind[:40]}".')
        return replace(style, kind=kind)
    return style


def _rate(text: str) -> float:
    word = text.strip().lower()
    number = re.fullmatch(r"\+?(-?\d{1,4}(?:\.\d{1,4})?)(%?)", word)
    if word in _RATES:
        return _RATES[word]
    if not number:
        raise ValueError(f'<prosody rate="{text[:40]}"> is not a rate such as "slow", "1.2" or "120%".')
    value = float(number[1]) / (100.0 if number[2] else 1.0)
    if word.startswith(("+", "-")):  # a change
        value += 1.0
    if not SLOWEST <= value <= FASTEST:
        raise ValueError(f'<prosody rate="{text[:40]}"> must be from {SLOWEST:g} to {FASTEST:g} times.')
    return value


def _break_seconds(element: ElementTree.Element) -> float:
    time = element.get("time")
    if time is None:
        strength = element.get("strength", "medium").lower()
        if strength not in _STRENGTHS:
            raise ValueError(f'<break strength="{strength[:40]}"> must be one of {", ".join(_STRENGTHS)}.')
        return _STRENGTHS[strength]
    found = re.fullmatch(r"\+?(\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})\s*(ms|s)", time.strip().lower())
    if not found:
        raise ValueError(f'<break time="{time[:40]}"> is not a time such as "500ms" or "1.5s".')
    seconds = float(found[1]) / (1000.0 if found[2] == "ms" else 1.0)
    if seconds > LONGEST_BREAK:
        raise ValueError(f"A <break> may last at most {LONGEST_BREAK:g} seconds.")
    return seconds
