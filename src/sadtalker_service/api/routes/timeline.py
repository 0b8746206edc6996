"""The timeline of driven audio, for programs that draw the face themselves."""

from __future__ import annotations

import asyncio

import structlog
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from sadtalker_service.api.access.security import viewer_of
from sadtalker_service.api.schemas.problem import problems
from sadtalker_service.api.schemas.timeline import TimelineAnswer, TimelineForm
from sadtalker_service.api.services import Services, services_of
from sadtalker_service.api.upload.forms import (
    audio_kind,
    form_body,
    options_of,
    required_file,
    unknown_fields,
)
from sadtalker_service.api.upload.inspecting import inspect_audio
from sadtalker_service.api.upload.multipart import ReceivedFile
from sadtalker_service.api.upload.receiving import receive_form
from sadtalker_service.errors import AudioTooLarge
from sadtalker_service.media.inspection import AudioFacts
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.heard_speech import ENGINE, features_key, fetch_features, keep_features
from sadtalker_service.pipeline.timelines import LONGEST_SECONDS

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api/speech", tags=["speech"])

_TEXTS = ("audio_track", "seed")


@router.post(
    "/timeline",
    response_model=TimelineAnswer,
    responses=problems(400, 408, 413, 415, 422, 507),
    openapi_extra=form_body(TimelineForm),
    summary="Mouth shapes and blinks of driven audio",
)
async def timeline(request: Request) -> TimelineAnswer:
    """What a face does while it speaks the driven audio. No video is made, and nothing is drawn."""
    services = services_of(request)
    services.drain.check()
    viewer_of(request)
    kinds, timeout = (audio_kind(services.settings),), services.settings.upload_timeout_seconds
    async with receive_form(request, _TEXTS, kinds, services.uploads, timeout) as form:
        audio, options = required_file(form, "audio_file"), options_of(form)
        facts = await inspect_audio(services, audio, options.audio_track)
        if facts.seconds > LONGEST_SECONDS:
            raise AudioTooLarge(
                f"The driven audio is {facts.seconds:.1f} s long. A timeline may be at most"
                f" {LONGEST_SECONDS:g} s long. Cut it, or make a video.",
                param="audio_file",
            )
        values = await _timeline(services, audio, facts, options)
        warnings = [*unknown_fields(form, (*_TEXTS, "audio_file")), *facts.warnings]
    log.info("timeline_made", audio_seconds=round(facts.seconds, 3), cues=len(values.cues))
    return values.model_copy(update={"warnings": warnings})


async def _timeline(
    services: Services, audio: ReceivedFile, facts: AudioFacts, options: RenderOptions
) -> TimelineAnswer:
    """The timeline, from the speech features in the cache if they are there."""
    features = audio.path.with_name(f"{audio.path.name}.features")
    card = (await run_in_threadpool(services.engines.all)).get(ENGINE)
    key = features_key(card, audio.sha256, facts.reading.track if facts.reading else 0) if card else None
    known = key is not None and await run_in_threadpool(fetch_features, services.cache, key, features)
    made = await asyncio.wrap_future(
        services.timelines.make(audio.path, options.audio_track, options.seed, features)
    )
    if key is not None and not known:
        await run_in_threadpool(
            keep_features, services.cache, key, features, services.settings.cache_week_seconds
        )
    return TimelineAnswer.model_validate({**made, "warnings": []})
