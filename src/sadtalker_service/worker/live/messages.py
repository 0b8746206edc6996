"""The messages of a live session. Names are those of HeyGen's LiveAvatar LITE, so that clients know them.

A text message is a JSON object with a `type`. A binary message is sound, as of an `agent.speak` of the
session's rate. Every message is checked here, because no part of it can be trusted.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.errors import InvalidOption, MalformedRequest, RequestTooLarge, SadTalkerError

LIVE_RATE = 24_000
RATES = (8_000, 16_000, 24_000, 48_000)
"""Sample rates of sound that is accepted, Hz."""
MOST_BYTES = 1_000_000
"""Size of a message, bytes. Longer ones are answered with an error."""
CUT_BYTES = 8_000_000
"""A longer message is not received: the connection is closed with 1009."""
_LONGEST_ID = 200
_LONGEST_TEXT = 5_000


@dataclass(frozen=True)
class Sound:
    """`agent.speak`: sound to be spoken."""

    samples: NDArray[np.float32]
    """float32 (n,), mono, within -1..1."""
    rate: int
    event_id: str


@dataclass(frozen=True)
class Say:
    """`agent.say`: a text to be spoken."""

    text: str
    voice: str
    rate: float
    """Speed, 1 is the voice's own."""
    event_id: str


@dataclass(frozen=True)
class Listen:
    """`agent.start_listening` and `agent.stop_listening`: how loud the visitor speaks."""

    level: float
    """0 to 1."""


@dataclass(frozen=True)
class Signal:
    """A message without further content."""

    kind: str
    """`agent.speak_end`, `agent.interrupt`, `session.keep_alive` or `session.close`."""
    event_id: str


Message = Sound | Say | Listen | Signal

_SIGNALS = frozenset({"agent.speak_end", "agent.interrupt", "session.keep_alive", "session.close"})
_TYPES = (
    "agent.speak",
    "agent.speak_end",
    "agent.interrupt",
    "agent.say",
    "agent.start_listening",
    "agent.stop_listening",
    "session.keep_alive",
    "session.close",
)


def parse_message(data: str | bytes) -> Message:
    """The message. Raises `MalformedRequest`, `InvalidOption`, `RequestTooLarge`."""
    if len(data) > MOST_BYTES:
        raise RequestTooLarge(
            f"The message has {len(data):,} bytes, but may have at most {MOST_BYTES:,}. Send the sound in"
            " shorter pieces, for example of one second."
        )
    if isinstance(data, bytes):
        return Sound(_samples(data), LIVE_RATE, "")
    fields = _fields(data)
    kind = fields.get("type")
    event_id = _text(fields, "event_id", _LONGEST_ID)
    if kind == "agent.speak":
        rate = fields.get("sample_rate", LIVE_RATE)
        if isinstance(rate, bool) or rate not in RATES:
            known = ", ".join(map(str, RATES))
            raise InvalidOption(f"sample_rate must be one of {known}.", param="sample_rate")
        return Sound(_decoded(fields), int(rate), event_id)
    if kind == "agent.say":
        return _say(fields, event_id)
    if kind == "agent.start_listening":
        return Listen(_number(fields, "level", 0.5, 0.0, 1.0))
    if kind == "agent.stop_listening":
        return Listen(0.0)
    if isinstance(kind, str) and kind in _SIGNALS:
        return Signal(kind, event_id)
    raise InvalidOption(f"There is no event of this type. Known types: {', '.join(_TYPES)}.", param="type")


def event(kind: str, **fields: object) -> str:
    """The text of a message to the client."""
    return json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"))


def error_event(error: SadTalkerError) -> str:
    """An error, with the error object that all answers of the service share."""
    after = {"retry_after": error.retry_after} if error.retry_after else {}
    return event("error", error=error_object(error), **after)


def error_object(error: SadTalkerError) -> dict[str, Any]:
    """The error object that all answers of the service share."""
    return {
        "code": error.code,
        "message": error.public_message,
        "param": error.param,
        "retryable": error.retryable,
        "doc_url": f"/docs/errors#{error.code}",
    }


def _fields(text: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(
            'The message is not JSON such as {"type": "agent.speak", "audio": "..."}.'
        ) from error
    if not isinstance(fields, dict):
        raise MalformedRequest("The message must be a JSON object with a type.")
    return fields


def _say(fields: Mapping[str, Any], event_id: str) -> Say:
    text = _text(fields, "text", _LONGEST_TEXT)
    if not text.strip():
        raise InvalidOption("text is missing. Write what is to be spoken.", param="text")
    return Say(text, _text(fields, "voice", _LONGEST_ID), _number(fields, "rate", 1.0, 0.25, 4.0), event_id)


def _decoded(fields: Mapping[str, Any]) -> NDArray[np.float32]:
    audio = fields.get("audio")
    if not isinstance(audio, str) or not audio:
        raise InvalidOption("audio is missing. Send PCM16 samples, mono, as base64.", param="audio")
    try:
        data = base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidOption(
            "audio is not base64. Encode the PCM16 samples with the standard alphabet.", param="audio"
        ) from error
    return _samples(data)


def _samples(data: bytes) -> NDArray[np.float32]:
    if len(data) % 2:
        raise InvalidOption(
            f"The sound has {len(data):,} bytes, an odd number. PCM16 has two bytes per sample.",
            param="audio",
        )
    return np.frombuffer(data, "<i2").astype(np.float32) / 32768.0


def _text(fields: Mapping[str, Any], name: str, most: int) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise InvalidOption(f"{name} must be a text.", param=name)
    if len(value) > most:
        raise InvalidOption(f"{name} may have at most {most:,} characters.", param=name)
    return value


def _number(fields: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidOption(f"{name} must be a number from {low:g} to {high:g}.", param=name)
    return float(value)
