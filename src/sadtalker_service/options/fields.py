"""Parse the text of form fields and command options into flags, numbers, angles and gestures."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from sadtalker_service.domain import SHA256, GestureCue, Track
from sadtalker_service.errors import InvalidOption
from sadtalker_service.options.refusals import shown

_FLAGS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.IGNORECASE | re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)

TRANSPARENT = "transparent"
"""Value of a background that is not there."""
STILL = "still"
"""Value of the source image's own background, which does not move with the head."""
_COLOUR, _SHORT_COLOUR = re.compile("#[0-9a-f]{6}"), re.compile("#[0-9a-f]{3}")

Choice = TypeVar("Choice", bound=str)


def parse_angles(text: str, param: str) -> Track:
    """Parse angles in degrees, evenly spread over the video: `0,30,0` or `0 30 0`. Raises `InvalidOption`."""
    pieces = text.replace(",", " ").split()
    if not pieces or not all(_NUMBER.fullmatch(piece) for piece in pieces):
        raise InvalidOption(f"{shown(text)} is not a list of angles such as 0,30,0.", param=param)
    return Track(tuple(float(piece) for piece in pieces))


def parse_gestures(text: str, param: str) -> tuple[GestureCue, ...]:
    """Parse gestures and their start times in seconds: `nod_yes@1.5,smile@3`.

    JSON also works: `[{"name": "nod_yes", "at": 1.5}]`. Raises `InvalidOption`.
    """
    try:
        if text.lstrip().startswith("["):
            return tuple(_cue_from_json(item) for item in json.loads(text))
        return tuple(_cue(piece) for piece in text.split(",") if piece.strip())
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidOption(
            f"{shown(text)} is not a list of gestures with times such as nod_yes@1.5,smile@3.", param=param
        ) from None


def parse_background(text: str, param: str) -> str:
    """Parse `#rrggbb` (or `#rgb`), `transparent`, `still`, or the SHA-256 of a picture.

    Raises `InvalidOption`.
    """
    value = text.strip().lower()
    if _SHORT_COLOUR.fullmatch(value):
        value = "#" + "".join(2 * digit for digit in value[1:])
    if value in {TRANSPARENT, STILL} or _COLOUR.fullmatch(value) or SHA256.fullmatch(value):
        return value
    raise InvalidOption(
        f"{param} is {shown(text)}, but must be a colour such as #1e90ff, transparent, still, or a picture.",
        param=param,
    )


def parse_flag(text: str, param: str) -> bool:
    """Parse `true` or `false`, in any spelling that forms use. Raises `InvalidOption`."""
    flag = _FLAGS.get(text.strip().lower())
    if flag is None:
        raise InvalidOption(f"{param} is {shown(text)}, but must be true or false.", param=param)
    return flag


def parse_number(text: str, param: str) -> float:
    """Parse a finite number with a decimal point. Raises `InvalidOption`."""
    number = text.strip()  # strips more kinds of spaces than float()
    if not _NUMBER.fullmatch(number) or not math.isfinite(float(number)):
        raise InvalidOption(f"{param} is {shown(text)}, but must be a number.", param=param)
    return float(number)


def parse_whole(text: str, param: str) -> int:
    """Parse a whole number. Raises `InvalidOption`."""
    number = text.strip()
    if not _WHOLE.fullmatch(number):
        raise InvalidOption(f"{param} is {shown(text)}, but must be a whole number.", param=param)
    return int(number)


def parse_choice(text: str, param: str, choices: Sequence[Choice]) -> Choice:
    """Parse one of `choices`, ignoring case. Raises `InvalidOption`."""
    found = next((choice for choice in choices if choice.lower() == text.strip().lower()), None)
    if found is None:
        raise InvalidOption(
            f"{param} is {shown(text)}, but must be one of {', '.join(choices)}.", param=param
        )
    return found


def _cue(text: str) -> GestureCue:
    name, _, at = text.strip().partition("@")
    if not _NUMBER.fullmatch(at):
        raise ValueError(at)
    return GestureCue(name, float(at))


def _cue_from_json(item: Any) -> GestureCue:
    name, at = item["name"], item["at"]
    if not isinstance(name, str) or isinstance(at, bool) or not isinstance(at, int | float):
        raise TypeError(name)
    return GestureCue(name, float(at))
