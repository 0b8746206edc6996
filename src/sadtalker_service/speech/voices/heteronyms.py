"""Chooses between several pronunciations of a word by the words around it."""

from __future__ import annotations

from collections.abc import Sequence

from sadtalker_service.speech.voices.tables import word_set

_BEFORE_VERB = word_set(
    "to i you we they who will would can could should shall must may might do did does don't didn't doesn't"
    " he she it won't can't cannot couldn't wouldn't shouldn't let please not never always often"
    " and'll i'll you'll we'll"
    " they'll he'll she'll it'll let's help"
)
_BEFORE_NOUN = word_set(
    "a an the this that these those my your his her its our their no some any each every another of in on at"
    " with for from by into new old first last good great high low best own many few several such what which"
)
_BEFORE_PARTICIPLE = word_set(
    "have has had having was were been being is are am be be've i've you've we've they've he'd she'd i'd"
    " we'd they'd got get"
)
_TO_BE = word_set("is are was were be am")
_OBJECTS = word_set("the a an this that it them him us me your my our their")
_PAST = word_set("yesterday ago last already once earlier previously then had")
_MODALS = word_set("did didn't will would can could shall should may might must to do don't does doesn't")
_TO_BE_NEAR = word_set("is was are were be too very so as how stay get got come came stand stood")


def tag_of(words: Sequence[str], i: int, *, ends: bool) -> str:
    """The tag of word `i` for `EnglishWords.pronounce`. `ends`: whether a pause follows it."""
    word = words[i].lower()
    before = words[i - 1].lower() if i else ""
    after = words[i + 1].lower() if i + 1 < len(words) else ""
    if word in _SPECIAL:
        return _SPECIAL[word](before, after, words)
    if before in _BEFORE_PARTICIPLE:
        return "ADJ" if before in _TO_BE else "VBN"
    tags = (
        ("VERB", before in _BEFORE_VERB),
        ("NOUN", before in _BEFORE_NOUN),
        ("None", ends and not after),
        ("VERB", after in _OBJECTS),
    )
    return next((tag for tag, fits in tags if fits), "")


def _read(before: str, after: str, words: Sequence[str]) -> str:
    if before in _MODALS or before in _BEFORE_NOUN:
        return "VERB"
    past = before in _BEFORE_PARTICIPLE or bool(_PAST & {word.lower() for word in words})
    past = past or before in {"he", "she", "it"}
    return "VBD" if past else "VERB"


def _live(before: str, after: str, words: Sequence[str]) -> str:
    if before in _BEFORE_VERB or after in {"in", "on", "with", "here", "there", "at", "for", "by"}:
        return "VERB"
    return "ADJ"


def _close(before: str, after: str, words: Sequence[str]) -> str:
    if before in _TO_BE_NEAR or after in {"to", "by", "enough", "friend", "friends", "call", "up"}:
        return "ADJ"
    return "VERB" if before in _BEFORE_VERB or after in {"the", "your", "this", "it", "my", "all"} else "ADJ"


def _use(before: str, after: str, words: Sequence[str]) -> str:
    return "NOUN" if before in _BEFORE_NOUN or after == "of" else "VERB"


def _used(before: str, after: str, words: Sequence[str]) -> str:
    return "VBD" if after == "to" and before not in {"is", "are", "was", "were", "be", "been"} else "DEFAULT"


_SPECIAL = {"read": _read, "live": _live, "close": _close, "use": _use, "used": _used}
