"""Frequent reads of clients, done from asyncio.

`SessionStore` in a thread would give the same results. But such a call waits for a thread, the server and the
event loop. Each wait needs a free processor, and while videos are rendered that is most of its time.
"""

from __future__ import annotations

from collections.abc import Mapping

import redis.asyncio

from sadtalker_service.settings import Settings
from sadtalker_service.state.queue_server import AsyncQueueServer
from sadtalker_service.state.records import LANES, Lane, QueuePosition, Session
from sadtalker_service.state.session_replies import (
    LaneLoad,
    read_lanes,
    read_running,
    read_status_reply,
    status_script,
)


class AsyncSessions:
    """Reads sessions. Every method raises `StoreUnavailable` if the queue server does not answer."""

    def __init__(self, queue: redis.asyncio.Redis, settings: Settings) -> None:
        """`queue` returns bytes."""
        self._queue = AsyncQueueServer(queue)
        self._settings = settings

    async def read_status(self, session_id: str) -> tuple[Session, QueuePosition | None] | None:
        """As in `SessionStore`."""
        return read_status_reply(await self._queue.script(*status_script(session_id, "", self._settings)))

    async def lanes(self) -> Mapping[Lane, LaneLoad]:
        """As in `SessionStore`."""
        return read_lanes(await self._queue.script("lanes", *LANES))

    async def running_owners(self) -> tuple[tuple[str, str], ...]:
        """As in `SessionStore`."""
        return read_running(await self._queue.script("running"))
