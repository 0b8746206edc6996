"""Routes that send a video: events, live stream, download."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from sadtalker_service.api.access.fetching import fetch_session, no_video
from sadtalker_service.api.delivery.downloads import file_response
from sadtalker_service.api.delivery.events import session_events
from sadtalker_service.api.delivery.streaming import MEDIA_TYPE, media_response
from sadtalker_service.api.ids import LanePath, SessionPath, lane_of, session_id_of
from sadtalker_service.api.presenters.videos import MEDIA_TYPES
from sadtalker_service.api.schemas.problem import problems
from sadtalker_service.api.schemas.waiting import WaitQuery
from sadtalker_service.api.services import services_of
from sadtalker_service.errors import NoStream
from sadtalker_service.state.records import Session
from sadtalker_service.store.artefact_store import video_name

router = APIRouter(prefix="/api/{lane}", tags=["videos"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_STREAM = {"content": {MEDIA_TYPE: _BINARY}}
_VIDEO = {"content": dict.fromkeys(MEDIA_TYPES.values(), _BINARY)}


async def _followed(request: Request, lane: LanePath, session_id: SessionPath) -> Session:
    """The session to follow. It is read before the stream begins, so that an error has its own status."""
    services = services_of(request)
    services.drain.check()
    session, _ = await fetch_session(request, lane_of(lane), session_id_of(session_id))
    return session


class _EventStream(EventSourceResponse):
    """Server-sent events. Without the line below, OpenAPI would list errors as events; they are JSON."""

    media_type = None  # type: ignore[assignment]  # Response allows it


@router.get(
    "/events/{session_id}",
    response_class=_EventStream,
    responses={
        200: {"description": "Events. The data of each is the body of `/status`."},
        **problems(404),
    },
    summary="Follow a session",
)
async def events(
    request: Request,
    session: Annotated[Session, Depends(_followed)],
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Id of the last event received.")
    ] = None,
    after: Annotated[
        str | None, Query(max_length=64, description="The same, for clients that cannot set the header.")
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events. Every change of the session from its beginning, or after `Last-Event-ID`."""
    async for event in session_events(services_of(request), session, last_event_id or after):
        yield event


@router.get(
    "/stream/{session_id}",
    response_class=StreamingResponse,
    responses={200: {"description": "Fragmented mp4 (H.264, AAC).", **_STREAM}, **problems(404, 409)},
    summary="Watch a video while it is rendered",
)
async def stream(request: Request, lane: LanePath, session_id: SessionPath) -> Response:
    """The video while it is rendered. The response begins with its first fragment. No byte ranges."""
    services = services_of(request)
    services.drain.check()
    session, _ = await fetch_session(request, lane_of(lane), session_id_of(session_id))
    if session.spec.options.transparent:
        raise NoStream("A transparent video has no stream. Download it when it is ready.")
    return await media_response(request, services, session)


@router.get(
    "/download/{session_id}",
    response_class=Response,
    responses={
        200: {"description": "The video.", **_VIDEO},
        206: {"description": "The requested range.", **_VIDEO},
        304: {"description": "The client's copy is current."},
        **problems(404, 409, 416, 422),
    },
    summary="Download a video",
)
async def download(
    request: Request,
    lane: LanePath,
    session_id: SessionPath,
    range_: Annotated[
        str | None, Header(alias="Range", description="One range of bytes.", examples=["bytes=0-1023"])
    ] = None,
    wait: WaitQuery = 0.0,
) -> Response:
    """The finished video as a file. With `wait`, as soon as it is finished."""
    services = services_of(request)
    session, position = await fetch_session(request, lane_of(lane), session_id_of(session_id), wait)
    if session.state != "ready":
        raise no_video(session, position)
    name, container = video_name(session.result_key), session.spec.options.container
    await run_in_threadpool(services.artefacts.touch, name)
    version = await run_in_threadpool(services.artefacts.version, name)  # a video may have been made again
    return await file_response(
        request,
        services.artefacts,
        name,
        media_type=MEDIA_TYPES[container],
        filename=f"sadtalker_{session.lane}_{session.session_id[:8]}.{container}",
        etag=f"{session.result_key[:32]}-{version}",
    )


router.add_api_route(
    "/download/{session_id}", download, methods=["HEAD"], include_in_schema=False, response_class=Response
)
