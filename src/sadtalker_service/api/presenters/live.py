"""Live sessions as answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType

from sadtalker_service.api.schemas.live import (
    IceServerFacts,
    LiveAnswer,
    LiveLinks,
    LiveRecordingFacts,
    LiveResume,
    LiveVideo,
)
from sadtalker_service.live.ice import ice_servers
from sadtalker_service.settings import Settings
from sadtalker_service.state.live_records import (
    RESUMABLE,
    EndReason,
    LiveSession,
    LiveState,
    RecordingStatus,
    request_body,
)

FPS = 25

_STATES: Mapping[LiveState, str] = MappingProxyType(
    {
        "waiting": "The session waits for its client. Open the WebSocket.",
        "connected": "The session is running.",
        "away": "The client has lost its connection. The same link opens the session again.",
        "closed": "The session has ended.",
    }
)
_REASONS: Mapping[EndReason, str] = MappingProxyType(
    {
        "ended_by_client": "The client has ended the session.",
        "ended_by_request": "The session was ended on request.",
        "never_connected": "No client connected in time. Send the request in resume to start it again.",
        "client_gone": "The client did not come back. Send the request in resume to start it again.",
        "idle": "No message came for a long time. Send the request in resume, and keep the session alive with"
        " session.keep_alive.",
        "time_limit": "The session was as long as one may be. Send the request in resume to go on.",
        "avatar_deleted": "The avatar was deleted.",
        "worker_lost": "The process that carried the session has died. Send the request in resume to go on.",
        "worker_stopped": "The process that carried the session was stopped. Send the request in resume to go"
        " on.",
        "failed": "Drawing the avatar failed. Send the request in resume to try it again.",
    }
)

_RECORDINGS: Mapping[RecordingStatus, str] = MappingProxyType(
    {
        "recording": "The session is being recorded. The video is there after its end.",
        "stopped": "The recording is as long as it may be, or its disk is full. What was recorded is there"
        " after the end of the session.",
        "saving": "The video is being made. Ask again in a moment.",
        "ready": "The video is ready. Download it with links.recording.",
        "lost": "Nothing was recorded, or the machine that recorded it has not come back.",
        "deleted": "The video was deleted.",
    }
)
_SAVED_WITHIN_SECONDS = 900.0
"""A killed process comes back within this time, or its recordings count as lost. If it comes back later, they
are ready after all."""


def live_answer(
    session: LiveSession,
    settings: Settings,
    token: str | None = None,
    warnings: tuple[str, ...] = (),
    now: float | None = None,
) -> LiveAnswer:
    """The session. `token` is known only when it starts. `now`: seconds since 1970, the present by default.

    Raises `StoreMisconfigured` for unreadable ICE servers.
    """
    figures = session.figures
    is_over = session.reason in RESUMABLE
    return LiveAnswer(
        session_id=session.session_id,
        status=session.state,
        reason=session.reason,
        message=_REASONS[session.reason] if session.reason else _STATES[session.state],
        connect_within=settings.live_grace_seconds,
        video=LiveVideo(width=figures.width, height=figures.height, fps=FPS) if figures.width else None,
        frames=figures.frames,
        late_frames=figures.late,
        latency_ms=None if figures.latency is None else round(1000 * figures.latency, 1),
        max_seconds=settings.live_max_seconds,
        recording=_recording(session, now),
        ice_servers=[IceServerFacts(**one.for_browser()) for one in ice_servers(settings)] if token else [],
        links=_links(session, token),
        resume=LiveResume(body=request_body(session.spec)) if is_over else None,
        warnings=list(warnings),
    )


def _links(session: LiveSession, token: str | None) -> LiveLinks:
    base = f"/api/live/{session.session_id}"
    relay = f"{base}/ws?token={token}" if token else None
    direct = f"{session.public_url}{relay}" if relay and session.public_url else None
    return LiveLinks(
        websocket=direct or relay,
        relay=relay if direct else None,
        offer=f"{base}/offer?token={token}" if token else None,
        recording=f"/api/standard/download/{session.session_id}" if _is_ready(session) else None,
        status=base,
        end=base,
    )


def _is_ready(session: LiveSession) -> bool:
    return session.saved is not None and session.saved.status == "ready"


def _recording(session: LiveSession, now: float | None) -> LiveRecordingFacts | None:
    """What is known of the recording: said by the worker, or else concluded from the session's state."""
    if not session.spec.record:
        return None
    saved, figures = session.saved, session.figures
    status: RecordingStatus
    if saved:
        status = saved.status
    elif session.state != "closed":
        status = "stopped" if figures.stopped else "recording"
    elif not session.began:
        status = "lost"
    else:
        ended = session.ended_at or session.started_at
        status = "saving" if (now or time.time()) - ended < _SAVED_WITHIN_SECONDS else "lost"
    return LiveRecordingFacts(
        status=status,
        seconds=round(saved.seconds if saved and saved.seconds else figures.recorded, 2),
        message=(saved and saved.message) or _RECORDINGS[status],
        video=f"/api/standard/status/{session.session_id}" if status == "ready" else None,
    )
