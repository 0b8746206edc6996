"""Videos piece by piece: events, stream, download."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from sadtalker_service.api.delivery.downloads import file_response
from sadtalker_service.api.delivery.events import session_events
from sadtalker_service.api.delivery.streaming import MEDIA_TYPE, media_response
from sadtalker_service.api.ids import LanePath, SessionPath, lane_of, session_id_of
from sadtalker_service.api.routes.videos import read_status
from sadtalker_service.api.schemas.problem import problems
from sadtalker_service.api.schemas.waiting import WaitQuery
from sadtalker_service.api.services import services_of
from sadtalker_service.api.threads import in_thread
from sadtalker_service.errors import NotReady
from sadtalker_service.state.records import ENDED, QueuePosition, Session
from sadtalker_service.store.artefact_store import video_name

router = APIRouter(prefix="/api/{lane}", tags=["videos"])

_VIDEO = {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
_EVENT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "For `Last-Event-ID`."},
        "data": {"type": "string", "description": "The record of `/status` as JSON."},
    },
    "required": ["data"],
}
_EVENTS = {"content": {"text/event-stream": {"schema": _EVENT}}}


@router.get(
    "/events/{session_id}",
    response_class=StreamingResponse,
    responses={200: {"description": "Events, each the record of `/status`.", **_EVENTS}, **problems(404)},
    summary="Follow a video",
)
async def events(
    request: Request,
    lane: LanePath,
    session_id: SessionPath,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Id of the last event that was received.")
    ] = None,
    after: Annotated[
        str | None, Query(max_length=64, description="The same, for clients that cannot set the header.")
    ] = None,
) -> StreamingResponse:
    """Server-sent events: every change of the session from its beginning, or after `Last-Event-ID`."""
    services = services_of(request)
    services.drain.check()
    session, _ = await read_status(services, lane_of(lane), session_id_of(session_id))
    # a proxy that collected events before it hands them on would defeat their purpose
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    lines = session_events(services, session, last_event_id or after)
    return StreamingResponse(lines, headers=headers, media_type="text/event-stream")


@router.get(
    "/stream/{session_id}",
    response_class=StreamingResponse,
    responses={200: {"description": "Fragmented mp4 (H.264, AAC).", **_VIDEO}, **problems(404, 409)},
    summary="Watch a video while it is made",
)
async def stream(request: Request, lane: LanePath, session_id: SessionPath) -> Response:
    """The video as it is being made; the answer begins when its first piece is there. Without ranges."""
    services = services_of(request)
    services.drain.check()
    session, _ = await read_status(services, lane_of(lane), session_id_of(session_id))
    return await media_response(request, services, session)


@router.get(
    "/download/{session_id}",
    response_class=Response,
    responses={
        200: {"description": "The video.", **_VIDEO},
        206: {"description": "The range that was asked for.", **_VIDEO},
        304: {"description": "The client has it."},
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
    """The finished video as a file; with `wait`, as soon as it is finished."""
    services = services_of(request)
    session, position = await read_status(services, lane_of(lane), session_id_of(session_id), wait)
    if session.state != "ready":
        raise _not_ready(session, position)
    name = video_name(session.result_key)
    await in_thread(services.artefacts.touch, name)
    size = session.outcome.size_bytes if session.outcome else 0
    return await file_response(
        request,
        services.artefacts,
        name,
        media_type=MEDIA_TYPE,
        filename=f"sadtalker_{session.lane}_{session.session_id[:8]}.mp4",
        etag=f"{session.result_key[:32]}-{size:x}",
    )


def _not_ready(session: Session, position: QueuePosition | None) -> NotReady:
    """Why there is no file, and when asking again makes sense."""
    if session.state in ENDED:
        message = f"There will be no video: the session is {session.state}."
        return NotReady(message, state=session.state, never=True)
    expected = position.eta_seconds if position else session.moment.eta_seconds if session.moment else None
    return NotReady(
        f"The video is not ready: the session is {session.state}. Ask again, or with ?wait=60.",
        state=session.state,
        retry_after=expected,
    )


router.add_api_route(
    "/download/{session_id}", download, methods=["HEAD"], include_in_schema=False, response_class=Response
)
