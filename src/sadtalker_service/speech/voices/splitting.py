"""Split a text at spaces into words and the punctuation that is heard."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

PARAGRAPH = "¶"
"""Mark of the end of a paragraph."""
_OPENING = "\"'“‘«([{¿¡„‚*_<"
_CLOSING = "\"'”’»)]}*_>"
_STOPS = ".,;:!?…—–-。！？،।॥"
_HEARD = {
    "—": "—",
    "–": "—",
    "-": "—",
    "…": "…",
    "。": ".",
    "！": "!",
    "？": "?",
    "،": ",",
    "।": ".",
    "॥": ".",
}
_DASHES = re.compile(r"\s+[-–—]+\s+|—|(?<=[^\W\d])–(?=[^\W\d])|--+")
_PARAGRAPHS = re.compile(r"\s*\n\s*\n\s*")
_LINE_ENDS = re.compile(r"[ \t]*\n[ \t]*")


@dataclass(frozen=True)
class Piece:
    """A word as it was written, without the punctuation around it."""

    text: str
    mark: str
    """The punctuation after it that is heard: one of `.!?,;:—…`, `PARAGRAPH`, or none."""


def split(text: str, is_abbreviation: Callable[[str, str], bool] = lambda _word, _next: False) -> list[Piece]:
    """The pieces of `text`. A line that ends without punctuation ends a sentence, as in a list.

    `is_abbreviation(word, next)` returns whether the full stop of `word` is part of it.
    """
    pieces: list[Piece] = []
    for paragraph in _PARAGRAPHS.split(text.strip()):
        before = len(pieces)
        for line in _LINE_ENDS.split(paragraph):
            words = _DASHES.sub(" — ", line).split()
            for i, word in enumerate(words):
                _add(pieces, word, words[i + 1] if i + 1 < len(words) else "", is_abbreviation)
            if _is_list_line(line, paragraph) and len(pieces) > before:
                _mark_last(pieces, ".", over=",;:")
        if len(pieces) > before:
            _mark_last(pieces, PARAGRAPH, over=".!?,;:—…")
    return pieces


def _add(pieces: list[Piece], raw: str, following: str, is_abbreviation: Callable[[str, str], bool]) -> None:
    word = raw.lstrip(_OPENING)
    bare = word.rstrip(_CLOSING)
    stops = re.search(rf"[{re.escape(_STOPS + _CLOSING)}]*$", bare)
    core = bare[: stops.start()] if stops else bare
    ending = bare[len(core) :]
    if (
        ending.startswith(".")
        and "..." not in ending
        and core
        and is_abbreviation(f"{core}.", following.lstrip(_OPENING))
    ):
        core, ending = f"{core}.", ending[1:]
    mark = _mark_of(ending)
    if core.strip("'’") or core in {"'", "’"}:
        pieces.append(Piece(core, mark))
    elif mark and pieces:
        _mark_last(pieces, mark, over="")


def _mark_of(ending: str) -> str:
    """Of several, the one that is heard most."""
    if "..." in ending or "…" in ending:
        return "…"
    marks = [_HEARD.get(c, c) for c in ending if c in _STOPS]
    return next((mark for mark in "?!.:;—," if mark in marks), "")


def _mark_last(pieces: list[Piece], mark: str, *, over: str) -> None:
    """Give the last piece a mark, unless it has one that is none of `over`."""
    last = pieces[-1]
    if not last.mark or last.mark in over:
        pieces[-1] = Piece(last.text, mark if not last.mark or mark != PARAGRAPH else last.mark + PARAGRAPH)


def _is_list_line(line: str, paragraph: str) -> bool:
    """Whether the end of a line ends a sentence: in lists and verses, not in text that was wrapped at a
    width."""
    others = paragraph.count("\n")
    return bool(others) and len(line) < 50
