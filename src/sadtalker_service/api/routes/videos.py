"""Videos: request, state, cancelling. What is sent piece by piece is in `media.py`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import structlog
from fastapi import APIRouter, Header, Request, Response

from sadtalker_service.api.forms import (
    GENERATE_TEXTS,
    audio_track_of,
    check_engine,
    fingerprint,
    form_body,
    generate_files,
    remarks,
    required_image_id,
    required_recording,
    video_request,
)
from sadtalker_service.api.ids import LanePath, SessionPath, idempotency_key_of, lane_of, session_id_of
from sadtalker_service.api.multipart import Form, ReceivedFile
from sadtalker_service.api.render.videos import cancel_answer, generate_answer, session_status
from sadtalker_service.api.schemas.problem import problems
from sadtalker_service.api.schemas.videos import CancelAnswer, GenerateAnswer, GenerateForm, SessionStatus
from sadtalker_service.api.security import caller, require_lane
from sadtalker_service.api.services import Services, services_of
from sadtalker_service.api.threads import in_thread
from sadtalker_service.api.uploads import receive_form
from sadtalker_service.errors import AlreadyEnded, NotFound
from sadtalker_service.jobs.records import ENDED, Lane, Session, Standing
from sadtalker_service.media.inspection import AudioFacts

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api/{lane}", tags=["videos"])

_IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="A name for this request: sent again with the same name within a day, it is answered with"
        " the same session instead of a second one.",
        json_schema_extra={"minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    ),
]


@router.post(
    "/generate",
    status_code=202,
    response_model=GenerateAnswer,
    responses={
        200: {"model": GenerateAnswer, "description": "The video is there already."},
        **problems(400, 404, 408, 409, 413, 415, 422, 507),
    },
    openapi_extra=form_body(GenerateForm),
    summary="Ask for a video",
)
async def generate(
    request: Request, response: Response, lane: LanePath, idempotency_key: _IdempotencyHeader = None
) -> GenerateAnswer:
    """Let the portrait speak the recording. The portrait may still be in preparation."""
    services, in_lane = services_of(request), lane_of(lane)
    require_lane(request, in_lane)
    services.drain.check()
    key, settings = idempotency_key_of(idempotency_key), services.settings
    async with receive_form(
        request, GENERATE_TEXTS, generate_files(settings), services.uploads, settings.upload_timeout_seconds
    ) as form:
        audio = required_recording(form)
        required_image_id(form)
        async with _once(services, f"{caller(request)}:{in_lane}", key, fingerprint(form)) as once:
            if once.session_id is None:
                once.session_id = await _accept(request, services, in_lane, form, audio)
    session, standing = await _present(services, once.session_id)
    response.status_code = 200 if session.state == "ready" else 202
    figures = await in_thread(services.statistics.snapshot)
    speedup = figures.speedup("cached_avatar")
    return generate_answer(session, standing, speedup=speedup, warnings=remarks(form))


@router.get(
    "/status/{session_id}",
    response_model=SessionStatus,
    responses=problems(404),
    summary="How far a video is",
)
async def status(request: Request, lane: LanePath, session_id: SessionPath) -> Response:
    """State, place in the queue, progress, and in the end what it took."""
    services = services_of(request)
    session, standing = await look(services, lane_of(lane), session_id_of(session_id))
    record = session_status(session, standing, await services.watch.glance())
    # rendered here: the framework would check it once more before
    return Response(record.model_dump_json(), media_type="application/json")


@router.delete(
    "/session/{session_id}",
    status_code=202,
    response_model=CancelAnswer,
    responses=problems(404, 409),
    summary="Cancel a video",
)
async def cancel(request: Request, lane: LanePath, session_id: SessionPath) -> CancelAnswer:
    """End a session that waits at once, one that runs within a batch of frames."""
    services = services_of(request)
    session, _ = await look(services, lane_of(lane), session_id_of(session_id))
    if session.state not in ENDED:
        session = await in_thread(services.desk.cancel, session.session_id)
        log.info("session_cancelled", session_id=session.session_id, state=session.state)
        if session.state in {"queued", "generating", "cancelled"}:
            return cancel_answer(session)
    raise AlreadyEnded(f"The session has ended already: it is {session.state}.", state=session.state)


async def look(services: Services, lane: Lane, session_id: str) -> tuple[Session, Standing | None]:
    """A session and its place in the queue, in one round trip. Raises `NotFound`."""
    found = await services.polls.look(session_id)
    if found is None:
        raise NotFound(
            "There is no such session; sessions are forgotten some time after their end.", param="session_id"
        )
    if found[0].lane != lane:
        raise NotFound(f"This session is in the other lane: /api/{found[0].lane}.", param="lane")
    return found


async def _accept(request: Request, services: Services, lane: Lane, form: Form, audio: ReceivedFile) -> str:
    """Take the request on; the id of its session."""
    received_at = time.time()
    await in_thread(check_engine, form, services.engines, services.workers)
    facts = await _facts(services, audio, audio_track_of(form))
    request_id = request.state.request_id
    wish = video_request(form, lane, facts, request_id=request_id, received_at=received_at)
    session = await in_thread(services.desk.generate, wish)
    log.info(
        "session_accepted",
        session_id=session.session_id,
        lane=lane,
        state=session.state,
        image_id=wish.image_id,
        audio_seconds=round(wish.audio_seconds, 3),
    )
    return session.session_id


async def _present(services: Services, session_id: str) -> tuple[Session, Standing | None]:
    found = await services.polls.look(session_id)
    if found is None:
        raise NotFound("The session of this request has been forgotten; send it without its key.")
    return found


async def _facts(services: Services, audio: ReceivedFile, audio_track: int | None) -> AudioFacts:
    """Length and kind of a recording; one that was sent before is not decoded again.

    Raises `UnreadableAudio`, `AudioTooLarge`, `EmptyAudio`, `InvalidOption`.
    """
    name = f"{audio.sha256}:{audio_track}"
    facts = services.recordings.get(name)
    if facts is None:
        facts = await asyncio.wrap_future(services.inspector.inspect_audio(audio.path, audio_track))
        services.recordings.put(name, facts)
    return facts


class _Once:
    """What a request with an `Idempotency-Key` became, or is about to become."""

    def __init__(self, session_id: str | None) -> None:
        self.session_id: str | None = session_id


@asynccontextmanager
async def _once(services: Services, scope: str, key: str | None, print_: str) -> AsyncIterator[_Once]:
    """A block that runs with the session of the first request of this key, or makes it.

    Raises `Conflict` while the first one is being answered, `IdempotencyKeyReused`.
    """
    if key is None:
        yield _Once(None)
        return
    keys = services.idempotency
    known = await in_thread(keys.claim, scope, key, print_)
    if known is not None and await in_thread(services.sessions.get, known) is not None:
        yield _Once(known)
        return
    once = _Once(None)  # also where the session of the first time has been forgotten
    try:
        yield once
    finally:
        # whatever happened: the key must not stay taken
        if once.session_id is None:
            await in_thread(keys.release, scope, key, print_)
        else:
            await in_thread(keys.complete, scope, key, print_, once.session_id)
