"""The one way to a session for every route: what the client may not see is not there."""

from __future__ import annotations

from fastapi import Request

from sadtalker_service.api.access.security import require_lane, viewer_of
from sadtalker_service.api.services import services_of
from sadtalker_service.errors import NotFound, NotReady, SadTalkerError, VideoDeleted
from sadtalker_service.state.records import Lane, QueuePosition, Session


async def fetch_session(
    request: Request, lane: Lane, session_id: str
) -> tuple[Session, QueuePosition | None]:
    """A session and its place in the queue, in one round trip.

    Raises `Forbidden` for a lane that the client's key may not use, and `NotFound`: for a session of another
    owner too, in the same words as for one that there never was.
    """
    require_lane(request, lane)
    viewer = viewer_of(request)
    found = await services_of(request).polls.read_status(session_id)
    if found is None or not viewer.sees(found[0].owner):
        raise NotFound(
            "There is no such session; sessions are forgotten some time after their end.", param="session_id"
        )
    if found[0].lane != lane:
        raise NotFound(f"This session is in the other lane: /api/{found[0].lane}.", param="lane")
    return found


def no_video(session: Session) -> SadTalkerError:
    """Why `session`, which is not ready, has no video to send."""
    failure = session.failure
    if failure is not None and failure.code == VideoDeleted.code:
        return VideoDeleted(failure.message)
    return NotReady(f"The video is not ready: the session is {session.state}.", state=session.state)
