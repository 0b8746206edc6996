"""Routes of sessions: request a video, read the status, cancel. `media.py` sends the videos."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated

import structlog
from fastapi import APIRouter, Header, Request, Response
from starlette.concurrency import run_in_threadpool

from sadtalker_service.api.access.fetching import fetch_session
from sadtalker_service.api.access.security import require_lane
from sadtalker_service.api.ids import LanePath, SessionPath, idempotency_key_of, lane_of, session_id_of
from sadtalker_service.api.presenters.videos import cancel_answer, generate_answer, session_status
from sadtalker_service.api.schemas.problem import problems
from sadtalker_service.api.schemas.videos import CancelAnswer, GenerateAnswer, SessionStatus
from sadtalker_service.api.schemas.waiting import WaitQuery
from sadtalker_service.api.services import Services, services_of
from sadtalker_service.api.upload.forms import (
    GENERATE_TEXTS,
    ReadText,
    audio_or_text,
    check_engine,
    form_hash,
    generate_body,
    generate_files,
    options_of,
    remarks,
    required_image_id,
    video_request,
)
from sadtalker_service.api.upload.inspecting import inspect_audio, inspect_background
from sadtalker_service.api.upload.multipart import Form, ReceivedFile
from sadtalker_service.api.upload.receiving import receive_form
from sadtalker_service.domain import SpokenText
from sadtalker_service.errors import AlreadyEnded, NotFound
from sadtalker_service.jobs.webhooks import check_receiver
from sadtalker_service.media.inspection import AudioFacts
from sadtalker_service.speech.voices.speaker import estimated_seconds
from sadtalker_service.state.async_idempotency import claimed
from sadtalker_service.state.records import ENDED, Lane
from sadtalker_service.state.viewer import Viewer

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api/{lane}", tags=["videos"])

_IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Name of this request. If it is sent again with the same name within a day, the response"
        " is the same session instead of a second one.",
        json_schema_extra={"minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    ),
]


@router.post(
    "/generate",
    status_code=202,
    response_model=GenerateAnswer,
    responses={
        200: {"model": GenerateAnswer, "description": "The video already exists."},
        **problems(400, 404, 408, 409, 413, 415, 422, 507),
    },
    openapi_extra=generate_body(),
    summary="Request a video",
)
async def generate(
    request: Request, response: Response, lane: LanePath, idempotency_key: _IdempotencyHeader = None
) -> GenerateAnswer:
    """Make the avatar speak the driven audio or the text. The avatar may still be in preparation."""
    services, in_lane = services_of(request), lane_of(lane)
    viewer = require_lane(request, in_lane)
    services.drain.check()
    key, settings = idempotency_key_of(idempotency_key), services.settings
    async with receive_form(
        request, GENERATE_TEXTS, generate_files(settings), services.uploads, settings.upload_timeout_seconds
    ) as form:
        audio = audio_or_text(form)
        required_image_id(form)
        scope = f"{viewer.owner}:{in_lane}"
        async with claimed(services.idempotency, scope, key, form_hash(form)) as claim:
            session_id = claim.session_id if claim else None
            if session_id is None or (claim and not claim.answered):
                session_id = await _accept(request, services, viewer, in_lane, form, audio, session_id)
    found = await services.polls.read_status(session_id)
    if found is None:
        raise NotFound(
            "The session of this request no longer exists. Send the request without its Idempotency-Key."
        )
    session, queue_position = found
    response.status_code = 200 if session.state == "ready" else 202
    figures = await run_in_threadpool(services.statistics.snapshot)
    speedup = figures.speedup("cached_avatar")
    return generate_answer(session, queue_position, speedup=speedup, warnings=remarks(form))


@router.get(
    "/status/{session_id}",
    response_model=SessionStatus,
    responses=problems(404, 422),
    summary="Get the status of a session",
)
async def status(
    request: Request, lane: LanePath, session_id: SessionPath, wait: WaitQuery = 0.0
) -> Response:
    """State, queue position and progress; after the end, the measured times."""
    services = services_of(request)
    session, queue_position = await fetch_session(request, lane_of(lane), session_id_of(session_id), wait)
    record = session_status(session, queue_position, await services.queue_stats_cache.queue_stats())
    # serialised here, because the framework would validate it a second time
    return Response(record.model_dump_json(), media_type="application/json")


@router.delete(
    "/session/{session_id}",
    status_code=202,
    response_model=CancelAnswer,
    responses=problems(404, 409),
    summary="Cancel a video",
)
async def cancel(request: Request, lane: LanePath, session_id: SessionPath) -> CancelAnswer:
    """Cancel a session. A waiting one ends at once, a running one within a batch of frames."""
    services = services_of(request)
    session, _ = await fetch_session(request, lane_of(lane), session_id_of(session_id))
    if session.state not in ENDED:
        session = await run_in_threadpool(services.video_service.cancel, session.session_id)
        log.info("session_cancelled", session_id=session.session_id, state=session.state)
        if session.state in {"queued", "generating", "cancelled"}:
            return cancel_answer(session)
    raise AlreadyEnded(f"The session has already ended. It is {session.state}.", state=session.state)


async def _accept(
    request: Request,
    services: Services,
    viewer: Viewer,
    lane: Lane,
    form: Form,
    audio: ReceivedFile | SpokenText,
    session_id: str | None,
) -> str:
    """Accept the request and return the id of its session, which is `session_id` if given."""
    received_at = time.time()
    await run_in_threadpool(check_engine, form, services.engines, services.workers)
    sound: AudioFacts | ReadText
    if isinstance(audio, SpokenText):
        sound = await _text(services, audio, form.texts.get("language", ""))
    else:
        sound = await inspect_audio(services, audio, options_of(form).audio_track)
    if picture := form.files.get("background_file"):
        await inspect_background(services, picture)
    request_id = request.state.request_id
    spec = video_request(form, lane, sound, request_id=request_id, received_at=received_at)
    if spec.callback_url is not None:
        await check_receiver(spec.callback_url, services.settings)
    session = await run_in_threadpool(services.video_service.generate, spec, viewer, session_id)
    log.info(
        "session_accepted",
        session_id=session.session_id,
        lane=lane,
        state=session.state,
        image_id=spec.image_id,
        audio_seconds=round(spec.audio_seconds, 3),
    )
    return session.session_id


async def _text(services: Services, spoken: SpokenText, language: str) -> ReadText:
    """A text that can be spoken. Raises `InvalidOption`, `TextTooLong`, `EngineUnavailable`."""
    script = await services.speech_desk.read(spoken, language)
    seconds = estimated_seconds(spoken.text, spoken.rate)
    return ReadText(replace(spoken, voice=script.card.id), seconds, script.warnings)
