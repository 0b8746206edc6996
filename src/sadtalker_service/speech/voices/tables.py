"""Tables that are written as text."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


def table(text: str) -> Mapping[str, str]:
    """Entries `key value` that are separated by commas. A key has no space; a value may have some, or be
    empty."""
    entries = (entry.strip().partition(" ") for entry in " ".join(text.split()).split(", "))
    return MappingProxyType({key: value for key, _, value in entries if key})


def word_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


def words_in(text: str) -> tuple[str, ...]:
    """The words of a text, in their order."""
    return tuple(text.split())
