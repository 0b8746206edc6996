"""How every route reads a session. A session that the client may not see is reported as missing."""

from __future__ import annotations

from fastapi import Request

from sadtalker_service.api.access.security import require_lane
from sadtalker_service.api.services import services_of
from sadtalker_service.errors import NotFound, NotReady, SadTalkerError, VideoDeleted
from sadtalker_service.state.records import ENDED, Lane, QueuePosition, Session
from sadtalker_service.state.viewer import Viewer


async def fetch_session(
    request: Request, lane: Lane, session_id: str, wait: float = 0.0
) -> tuple[Session, QueuePosition | None]:
    """A session and its queue position, after `wait` seconds or as soon as it has ended.

    Raises `Forbidden` for a lane that the client's key may not use. Raises `NotFound` for an unknown session,
    with the same message for a session of another owner.
    """
    viewer = require_lane(request, lane)
    found = await _find_session(request, viewer, lane, session_id)
    if wait <= 0 or found[0].state in ENDED:
        return found
    services = services_of(request)
    await services.endings.session(session_id, wait, services.drain.wait())
    return await _find_session(request, viewer, lane, session_id)


async def _find_session(
    request: Request, viewer: Viewer, lane: Lane, session_id: str
) -> tuple[Session, QueuePosition | None]:
    found = await services_of(request).polls.read_status(session_id)
    if found is None or not viewer.sees(found[0].owner):
        raise NotFound(
            "There is no such session. Sessions are deleted some time after they end.", param="session_id"
        )
    if found[0].lane != lane:
        raise NotFound(f"This session is in the other lane. Use /api/{found[0].lane}.", param="lane")
    return found


def no_video(session: Session, position: QueuePosition | None = None) -> SadTalkerError:
    """The error for a session that has no video to send, and when to ask again."""
    failure = session.failure
    if failure is not None and failure.code == VideoDeleted.code:
        return VideoDeleted(failure.message)
    if session.state in ENDED:
        message = f"There will be no video, because the session is {session.state}."
        return NotReady(message, state=session.state, never=True)
    expected = position.eta_seconds if position else session.moment.eta_seconds if session.moment else None
    return NotReady(
        f"The video is not ready yet, the session is {session.state}. Ask again later, or use ?wait=60.",
        state=session.state,
        retry_after=expected,
    )
