"""Routes of live sessions: start, look, connect, end."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request, WebSocket
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from sadtalker_service.api.access.security import require_live, viewer_of
from sadtalker_service.api.delivery.live_relay import answer_offer, relay
from sadtalker_service.api.errors import problem_response, problem_response_of
from sadtalker_service.api.ids import SessionPath, image_id_of, session_id_of
from sadtalker_service.api.presenters.live import live_answer
from sadtalker_service.api.schemas.live import LiveAnswer, LiveForm, LiveOffer, live_schema
from sadtalker_service.api.schemas.problem import Problem, problems
from sadtalker_service.api.services import Services, services_of
from sadtalker_service.api.upload.json_body import read_json
from sadtalker_service.errors import InvalidOption, LiveSessionEnded, SadTalkerError, Unauthorized
from sadtalker_service.jobs.live_service import LiveRequest, live_options, no_live_session, token_digest
from sadtalker_service.state.live_records import LiveSession

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api/live", tags=["live"])
open_router = APIRouter(prefix="/api/live")

_LARGEST_BODY = 100_000
_PROTOCOL = "sadtalker.live"
"""Subprotocol of the WebSocket. A client may send its token as a second one, `token.TOKEN`."""
_NAMES: Mapping[str, str] = {"preprocess_mode": "preprocess"}
"""Field of the request -> option."""


@router.post(
    "",
    status_code=201,
    response_model=LiveAnswer,
    responses=problems(404, 408, 413),
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": live_schema()}}}
    },
    summary="Start a live session",
)
async def start(request: Request) -> LiveAnswer:
    """Claim a slot for an avatar that talks while its sound arrives. Then open `links.websocket`.

    429 with `Retry-After`: every slot is taken.
    """
    services = services_of(request)
    require_live(request)
    services.drain.check()
    seconds = services.settings.upload_timeout_seconds
    wanted = _request(await read_json(request, _LARGEST_BODY, seconds, '{"image_id": "..."}'))
    started = await run_in_threadpool(services.live_service.start, wanted, viewer_of(request))
    session = started.session
    log.info(
        "live_session_accepted",
        session_id=session.session_id,
        image_id=wanted.image_id,
        worker=session.worker,
    )
    return live_answer(session, services.settings, started.token, started.warnings)


@router.get("/{session_id}", response_model=LiveAnswer, responses=problems(404), summary="Get a live session")
async def status(request: Request, session_id: SessionPath) -> LiveAnswer:
    """State and figures. After the end also the reason, and the request that starts it again."""
    services, name = services_of(request), session_id_of(session_id)
    session = await run_in_threadpool(services.live_service.get, name, viewer_of(request))
    return live_answer(session, services.settings)


@router.delete(
    "/{session_id}", response_model=LiveAnswer, responses=problems(404), summary="End a live session"
)
async def end(request: Request, session_id: SessionPath) -> LiveAnswer:
    """End the session and free its slot. Its client is notified within a second."""
    services, name = services_of(request), session_id_of(session_id)
    session = await run_in_threadpool(services.live_service.end, name, viewer_of(request))
    log.info("live_session_deleted", session_id=name, reason=session.reason)
    return live_answer(session, services.settings)


@open_router.post(
    "/{session_id}/offer",
    response_model=LiveOffer,
    responses=problems(404, 409, 410, 413, 501),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": LiveOffer.model_json_schema()}},
        }
    },
    tags=["live"],
    summary="Receive a live session over WebRTC",
)
async def offer(
    request: Request,
    session_id: SessionPath,
    token: Annotated[str, Query(max_length=200, description="Of the session, as in `links.offer`.")] = "",
) -> Response:
    """Answer an SDP offer. Open the WebSocket with `&video=off` first: it carries the events."""
    services = services_of(request)
    session = await _of_token(services, session_id_of(session_id), token)
    seconds = services.settings.upload_timeout_seconds
    values = await read_json(request, _LARGEST_BODY, seconds, '{"type": "offer", "sdp": "..."}')
    try:
        wanted = LiveOffer.model_validate(values)
    except ValidationError as error:
        raise InvalidOption("Send an SDP offer: type and sdp.", param="sdp") from error
    answer = await answer_offer(session, token, wanted.sdp)
    if isinstance(answer, str):
        return JSONResponse({"type": "answer", "sdp": answer})
    problem = Problem.model_validate(answer["error"])
    return problem_response_of(int(answer["status"]), problem, {})


@open_router.websocket("/{session_id}/ws")
async def connect(websocket: WebSocket, session_id: str, token: str = "", video: str = "") -> None:
    """The session itself, for whoever has its token. See docs/live-service.md."""
    offered = websocket.scope.get("subprotocols", [])
    shown = token or next((p.removeprefix("token.") for p in offered if p.startswith("token.")), "")
    services: Services = websocket.app.state.services
    try:
        services.drain.check()
        session = await _of_token(services, session_id_of(session_id), shown)
        subprotocol = _PROTOCOL if _PROTOCOL in offered else None
        await relay(websocket, session, shown, subprotocol, with_video=video != "off")
    except SadTalkerError as error:
        await websocket.send_denial_response(problem_response(error))


async def _of_token(services: Services, session_id: str, token: str) -> LiveSession:
    """Raises `NotFound`, `Unauthorized`, `LiveSessionEnded`."""
    session = await services.live_polls.get(session_id)
    if session is None:
        raise no_live_session()
    if not hmac.compare_digest(session.token_digest, token_digest(token)):
        raise Unauthorized("The token is missing or wrong. Use links.websocket as it is.")
    if session.state == "closed":
        raise LiveSessionEnded(
            f"The live session has ended ({session.reason}). Start a new one with POST /api/live."
        )
    return session


def _request(values: Any) -> LiveRequest:
    """Raises `NotFound` for an image id that cannot be one, `InvalidOption`."""
    try:
        form = LiveForm.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else None
        what = "is missing" if first["type"] == "missing" else f"is wrong: {first['msg']}"
        raise InvalidOption(f"{name or 'The body'} {what}.", param=name) from error
    given = {_NAMES.get(name, name): value for name, value in (form.model_extra or {}).items()}
    called = {option: name for name, option in _NAMES.items()}
    return LiveRequest(
        image_id=image_id_of(form.image_id),
        options=live_options(given, called),
        engine=form.engine,
        voice=form.voice,
        record=form.record,
    )
