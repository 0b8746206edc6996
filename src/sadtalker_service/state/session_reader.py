"""Reads sessions, lanes and finished videos from the queue server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import redis

from sadtalker_service.domain import VideoResult
from sadtalker_service.settings import Settings
from sadtalker_service.state.queue_server import QueueServer
from sadtalker_service.state.records import LANES, Lane, QueuePosition, Session
from sadtalker_service.state.session_replies import (
    KnownResult,
    LaneLoad,
    read_ids,
    read_lanes,
    read_running,
    read_status_reply,
    read_view,
    status_script,
)
from sadtalker_service.state.viewer import UNRESTRICTED, Viewer

MAX_DEAD = 1_000
"""Number of given-up session ids that are kept."""


class SessionReader:
    """Reads sessions. Every method raises `StoreUnavailable` if the queue server does not answer."""

    def __init__(
        self, queue: redis.Redis, settings: Settings, clock: Callable[[], float] | None = None
    ) -> None:
        """Without a `clock` the server's own is used, so that leases of several machines share one clock."""
        self._queue = QueueServer(queue)
        self._settings = settings
        self._clock = clock

    def get(self, session_id: str) -> Session | None:
        """The session, in one round trip. A waiter has the state, moment and attempt of its leader."""
        raw = self._queue.script("get", session_id)
        return read_view(raw) if raw else None

    def read_status(self, session_id: str) -> tuple[Session, QueuePosition | None] | None:
        """`get` and the session's queue position in one round trip, for status polls."""
        return read_status_reply(self._queue.script(*status_script(session_id, self._now(), self._settings)))

    def known_result(self, result_key: str) -> KnownResult | None:
        """The finished video `result_key`, if it exists."""
        fields = self._queue.command("HMGET", f"result:{result_key}", "image_id", "outcome", "created_at")
        if None in fields:
            return None
        image_id, outcome, created_at = fields
        return KnownResult(image_id.decode(), VideoResult.from_json(json.loads(outcome)), float(created_at))

    def waiting(self, lane: Lane) -> tuple[str, ...]:
        """Ids of the sessions waiting in `lane`, in the order they will be served."""
        return read_ids(self._queue.command("ZRANGE", f"waiting:{lane}", 0, -1))

    def running(self) -> tuple[str, ...]:
        """Ids of the running sessions, sorted by the end of their lease."""
        return read_ids(self._queue.command("ZRANGE", "running", 0, -1))

    def lanes(self) -> Mapping[Lane, LaneLoad]:
        """Load of each lane."""
        return read_lanes(self._queue.script("lanes", *LANES))

    def dead(self, limit: int = MAX_DEAD) -> tuple[str, ...]:
        """Ids of the given-up sessions, the latest first."""
        return read_ids(self._queue.command("LRANGE", "dead", 0, limit - 1))

    def running_owners(self) -> tuple[tuple[str, str], ...]:
        """(id, owner) of the running sessions, in the order of `running`."""
        return read_running(self._queue.script("running"))

    def of_image(self, image_id: str, viewer: Viewer = UNRESTRICTED) -> tuple[str, ...]:
        """Ids of the sessions of this source image that have not ended and that `viewer` may see."""
        return read_ids(self._queue.script("image_sessions", image_id, viewer.only))

    def _now(self) -> str:
        """The time as the scripts take it; empty for the server's time."""
        return f"{self._clock():.6f}" if self._clock else ""
