"""The voices, and a sample of each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from sadtalker_service.api.schemas.problem import problems
from sadtalker_service.api.schemas.voices import VoiceEntry, Voices
from sadtalker_service.api.services import services_of
from sadtalker_service.domain import SpokenText
from sadtalker_service.errors import NotFound, SadTalkerError
from sadtalker_service.speech.voices.catalogue import LANGUAGES, VoiceCard
from sadtalker_service.speech.voices.choice import resolve
from sadtalker_service.speech.voices.speaker import installed_voices, missing_languages

router = APIRouter(prefix="/api/voices", tags=["voices"])

SAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "en": "Hello! This is how I sound when I read a text to you.",
        "es": "¡Hola! Así sueno cuando te leo un texto.",
        "fr": "Bonjour ! Voici ma voix quand je vous lis un texte.",
        "it": "Ciao! Ecco la mia voce quando ti leggo un testo.",
        "pt": "Olá! Esta é a minha voz quando leio um texto para você.",
        "hi": "नमस्ते! जब मैं आपको कुछ पढ़कर सुनाती हूँ तो मेरी आवाज़ ऐसी है।",
    }
)
_SOUND = {"schema": {"type": "string", "format": "binary"}}

VoicePath = Annotated[
    str,
    Path(
        alias="voice",
        description="Id of a voice.",
        examples=["af_heart"],
        json_schema_extra={"maxLength": 64},
    ),
]


@router.get("", response_model=Voices, responses=problems(), summary="Voices")
async def voices(request: Request) -> Voices:
    """The voices that can speak here, the default one first."""
    default = services_of(request).settings.voice
    return await run_in_threadpool(_voices, default)


@router.get(
    "/{voice}/sample",
    responses={200: {"content": {"audio/mpeg": _SOUND}}, **problems(404)},
    response_class=Response,
    summary="Sample of a voice",
)
async def sample(request: Request, voice: VoicePath) -> Response:
    """A sentence of the voice, as mp3."""
    desk = services_of(request).speech_desk
    card = next((card for card in await run_in_threadpool(installed_voices) if card.id == voice), None)
    if card is None:
        raise NotFound("There is no such voice. GET /api/voices lists the voices.", param="voice")
    script = await desk.read(SpokenText(SAMPLES[card.language.partition("-")[0]], card.id))
    file = b"".join([piece async for piece in desk.speak(script, "mp3")])
    return Response(file, media_type="audio/mpeg", headers={"Cache-Control": "private, max-age=86400"})


def _voices(default: str) -> Voices:
    cards = installed_voices()
    return Voices(
        default=_default(default),
        voices=[_entry(card) for card in cards],
        missing=[f"{LANGUAGES[tag]}: {reason}" for tag, reason in missing_languages().items()],
    )


def _default(setting: str) -> str | None:
    try:
        return resolve(SpokenText("", ""), "", setting).voice
    except SadTalkerError:
        return None


def _entry(card: VoiceCard) -> VoiceEntry:
    facts: dict[str, Any] = card.to_json()
    return VoiceEntry(
        **facts, language_name=LANGUAGES[card.language], sample_url=f"/api/voices/{card.id}/sample"
    )
