"""Error messages about options, which say what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from sadtalker_service.errors import InvalidOption

_SHOWN = 40
"""Number of characters of a wrong value that a message repeats."""


def refusal(
    error: ValidationError, schema: Mapping[str, Mapping[str, Any]], called: Mapping[str, str]
) -> InvalidOption:
    """The error for the first problem in `error`.

    `schema`: option -> JSON schema. `called`: option -> its name in the message, if it differs.
    """
    first = error.errors(include_url=False)[0]
    option = str(first["loc"][0]) if first["loc"] else ""
    name, value = called.get(option, option), first["input"]
    if option not in schema:
        return InvalidOption(f"There is no option called {name!r}.{did_you_mean(name, schema)}", param=name)
    return InvalidOption(f"{name} is {shown(value)}, but {_must(schema[option])}.", param=name)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A sentence with the most similar of `names` after a space, or an empty string if none is similar."""
    similar = get_close_matches(name, list(names), n=1)
    return f" Did you mean {similar[0]}?" if similar else ""


def within(name: str, value: float, low: float, high: float) -> None:
    """Raises `InvalidOption` if a number is outside `low` to `high` or is NaN."""
    if not low <= value <= high:
        raise InvalidOption(f"{name} is {value:g}, but must be between {low:g} and {high:g}.", param=name)


def at_most(name: str, count: int, most: int) -> None:
    """Raises `InvalidOption` if a list is too long."""
    if count > most:
        raise InvalidOption(f"{name} has {count:,} entries, but may have at most {most:,}.", param=name)


def shown(value: object) -> str:
    """The value as messages show it, at most forty characters."""
    text = f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _must(schema: Mapping[str, Any]) -> str:
    """The requirement on a value, for a message."""
    if "enum" in schema:
        return f"must be one of {', '.join(map(str, schema['enum']))}"
    if "maximum" in schema:
        return f"must be between {schema['minimum']:g} and {schema['maximum']:g}"
    if "minimum" in schema:
        return f"must be at least {schema['minimum']:g}"
    kinds = {"boolean": "true or false", "integer": "a whole number", "number": "a number"}
    kind = kinds.get(schema.get("type", ""), f"something like {(schema.get('examples') or ['a text'])[0]}")
    return f"must be {kind}"
