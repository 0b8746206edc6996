"""Text to speech as OpenAI's interface has it, so that clients of it work here."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import structlog
from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import StreamingResponse

from sadtalker_service.api.schemas.problem import problems
from sadtalker_service.api.schemas.voices import SpeechRequest
from sadtalker_service.api.services import services_of
from sadtalker_service.api.upload.json_body import read_json
from sadtalker_service.domain import SpokenText
from sadtalker_service.errors import InvalidOption, TextTooLong
from sadtalker_service.media.sound_writer import SOUND_FORMATS

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1/audio", tags=["voices"])

_LARGEST_BODY = 256_000
"""Bytes: 5,000 characters, each of them escaped, and what a client may add."""
_EVENTS = "text/event-stream"
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_ANSWERS: dict[str, Any] = {
    **{sound.media_type: _BINARY for sound in SOUND_FORMATS.values()},
    _EVENTS: {"schema": {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}},
}


@router.post(
    "/speech",
    responses={
        200: {"content": _ANSWERS, "description": "The sound, while it is spoken."},
        **problems(408, 413),
    },
    response_class=StreamingResponse,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": SpeechRequest.model_json_schema()}},
        }
    },
    summary="Speak a text",
)
async def speech(request: Request) -> StreamingResponse:
    """Speak a text as mp3, opus, aac, flac, wav or pcm (24 kHz, mono, 16 bits).

    The sound is sent phrase by phrase: the first one after about half its length.
    """
    asked = await _body(request)
    desk = services_of(request).speech_desk
    spoken = SpokenText(asked.input, asked.voice, asked.speed)
    script = await desk.read(spoken, asked.language, "input")
    pieces = desk.speak(script, asked.response_format)
    first = await anext(pieces, b"")  # before the status is sent: what fails, fails here
    log.info("text_spoken", voice=script.card.id, characters=len(asked.input), format=asked.response_format)
    if asked.stream_format == "sse":
        return StreamingResponse(_events(first, pieces), media_type=_EVENTS)
    return StreamingResponse(
        _after(first, pieces), media_type=SOUND_FORMATS[asked.response_format].media_type
    )


async def _after(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


async def _events(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in _after(first, rest):
        yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
    yield _event({"type": "speech.audio.done"})


def _event(values: dict[str, str]) -> bytes:
    return f"data: {json.dumps(values)}\n\n".encode()


async def _body(request: Request) -> SpeechRequest:
    """Raises `RequestTooLarge`, `UploadTooSlow`, `MalformedRequest`, `TextTooLong`, `InvalidOption`."""
    seconds = services_of(request).settings.upload_timeout_seconds
    values = await read_json(request, _LARGEST_BODY, seconds, '{"input": "Hello", "voice": "af_heart"}')
    voice = values.get("voice") if isinstance(values, dict) else None
    if isinstance(voice, dict) and isinstance(voice.get("id"), str):  # newer clients
        values["voice"] = voice["id"]
    try:
        return SpeechRequest.model_validate(values)
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> InvalidOption | TextTooLong:
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0]) if first["loc"] else None
    if first["type"] == "string_too_long" and name == "input":
        return TextTooLong("The text is longer than 5,000 characters. Cut it in parts.", param=name)
    if first["type"] == "missing":
        return InvalidOption(f"{name} is missing.", param=name)
    return InvalidOption(f"{name or 'The body'}: {first['msg']}.", param=name)
