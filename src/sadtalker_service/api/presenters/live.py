"""Live sessions as answers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sadtalker_service.api.schemas.live import LiveAnswer, LiveLinks, LiveResume, LiveVideo
from sadtalker_service.settings import Settings
from sadtalker_service.state.live_records import (
    RESUMABLE,
    EndReason,
    LiveSession,
    LiveState,
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
        "avatar_deleted": "The avatar was deleted.",
        "worker_lost": "The process that carried the session has died. Send the request in resume to go on.",
        "worker_stopped": "The process that carried the session was stopped. Send the request in resume to go"
        " on.",
        "failed": "Drawing the avatar failed. Send the request in resume to try it again.",
    }
)


def live_answer(
    session: LiveSession, settings: Settings, token: str | None = None, warnings: tuple[str, ...] = ()
) -> LiveAnswer:
    """The session. `token` is known only when it starts."""
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
        status=base,
        end=base,
    )
