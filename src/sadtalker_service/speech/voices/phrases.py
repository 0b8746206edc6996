"""Cut a text into phrases: sentences, and parts of sentences that are too long for a breath."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from sadtalker_service.speech.voices.markup import FASTEST, SLOWEST, Break, Part
from sadtalker_service.speech.voices.port import Phrase, Token
from sadtalker_service.speech.voices.splitting import PARAGRAPH

SENTENCE_PAUSE, PARAGRAPH_PAUSE, CLAUSE_PAUSE = 0.28, 0.6, 0.1
"""Seconds of silence between phrases, in addition to what remains of a phrase's own edges."""
LONGEST = 220
"""Phonemes of a phrase. Kokoro takes 510, but becomes hasty long before, and takes memory for each."""
LONGEST_FIRST = 140
"""... of the first phrase: what is heard first is spoken first."""
_SHORT = 24
"""A sentence of fewer phonemes is spoken together with the next one: alone it sounds clipped."""
_ENDS = frozenset(".!?…")
_CLAUSE_ENDS = frozenset(",;:—")


class TextReader(Protocol):
    """A `Reader` that also knows `<say-as>`."""

    def read(self, text: str) -> list[Token]: ...

    def read_as(self, text: str, kind: str) -> list[Token]: ...


def phrases_of(parts: Sequence[Part], reader: TextReader, rate: float) -> list[Phrase]:
    """The phrases of a text, in order. Empty if no part of it is spoken.

    `rate` multiplies that of every part. Raises what the reader raises.
    """
    found: list[Phrase] = []
    waiting: list[Token] = []
    waiting_rate = rate
    for part in parts:
        if isinstance(part, Break):
            found += _closed(waiting, waiting_rate, first=not found)
            waiting = []
            if found:
                found[-1] = replace(found[-1], pause=found[-1].pause + part.seconds)
            continue
        part_rate = min(FASTEST, max(SLOWEST, rate * part.rate))
        if part_rate != waiting_rate:
            found += _closed(waiting, waiting_rate, first=not found)
            waiting = []
        waiting_rate = part_rate
        if part.phonemes:
            waiting.append(Token(part.text.strip(), part.phonemes, "", part.text.strip()))
        elif part.kind:
            waiting += [replace(token, mark="") for token in reader.read_as(part.text, part.kind)]
        else:
            tokens = reader.read(part.text)
            if not tokens and waiting and part.text.strip(" ") == "":
                waiting[-1] = replace(waiting[-1], mark=waiting[-1].mark.rstrip(PARAGRAPH) + PARAGRAPH)
            waiting += _within(tokens, part.text)
    found += _closed(waiting, waiting_rate, first=not found)
    return found


def _within(tokens: list[Token], text: str) -> list[Token]:
    """The end of a text between elements is no end of a paragraph, unless it has an empty line there."""
    if tokens and not text.rstrip(" \t").endswith("\n\n"):
        last = tokens[-1]
        tokens = [*tokens[:-1], replace(last, mark=last.mark.rstrip(PARAGRAPH))]
    return tokens


def _closed(tokens: Sequence[Token], rate: float, *, first: bool) -> list[Phrase]:
    """Tokens as phrases. `first`: whether they are the first that are spoken."""
    phrases: list[Phrase] = []
    for sentence in _sentences(_audible(tokens)):
        limit = LONGEST_FIRST if first and not phrases else LONGEST
        for piece, pause in _pieces(sentence, limit):
            phrases.append(Phrase(tuple(_bare(piece)), pause, rate))
    return phrases


def _audible(tokens: Sequence[Token]) -> list[Token]:
    """Tokens that have a sound; the others go into the one before, or are left out."""
    audible: list[Token] = []
    for token in tokens:
        if token.spoken:
            audible.append(token)
        elif audible:
            last = audible[-1]
            written = f"{last.written} {token.written}" if token.said == "" else last.written
            audible[-1] = replace(last, written=written, mark=token.mark or last.mark)
    return audible


def _sentences(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    sentence: list[Token] = []
    length = 0
    for token in tokens:
        sentence.append(token)
        length += len(token.spoken) + 1
        ends = token.mark[:1] in _ENDS and token.mark != ""
        if PARAGRAPH in token.mark or (ends and length >= _SHORT):
            yield sentence
            sentence, length = [], 0
    if sentence:
        yield sentence


def _pieces(sentence: list[Token], limit: int) -> Iterator[tuple[list[Token], float]]:
    """Pieces of at most `limit` phonemes, cut after a comma if there is one in the second half."""
    while sum(len(token.spoken) + 1 for token in sentence) > limit and len(sentence) > 1:
        fits = _fitting(sentence, limit)
        clause = next(
            (i for i in range(fits, fits // 3, -1) if sentence[i - 1].mark[:1] in _CLAUSE_ENDS | _ENDS), 0
        )
        cut = clause or fits
        yield sentence[:cut], CLAUSE_PAUSE if clause else 0.0
        sentence, limit = sentence[cut:], LONGEST
    pause = PARAGRAPH_PAUSE if PARAGRAPH in sentence[-1].mark else SENTENCE_PAUSE
    yield sentence, pause if sentence[-1].mark else CLAUSE_PAUSE


def _fitting(sentence: Sequence[Token], limit: int) -> int:
    """How many tokens fit, at least one."""
    length = 0
    for i, token in enumerate(sentence):
        length += len(token.spoken) + 1
        if length > limit:
            return max(1, i)
    return len(sentence)


def _bare(tokens: Sequence[Token]) -> list[Token]:
    return [replace(token, mark=token.mark.rstrip(PARAGRAPH)) for token in tokens]
