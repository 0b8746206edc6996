"""What clients ask for again and again, answered from asyncio.

A call of `SessionStore` in a thread would give the same. But a poll that waits for a thread, for the server
and for the loop again waits for a processor each time, and while videos are made that is most of its time.
"""

from __future__ import annotations

from collections.abc import Mapping

import redis.asyncio

from sadtalker_service.settings import Settings
from sadtalker_service.state.queue_server import AsyncQueueServer
from sadtalker_service.state.records import LANES, Lane, QueuePosition, Session
from sadtalker_service.state.sessions import (
    LaneLoad,
    read_lanes,
    read_running,
    read_status_reply,
    status_script,
)


class AsyncSessions:
    """Reads sessions. Every method raises `StoreUnavailable` where the queue's server does not answer."""

    def __init__(self, queue: redis.asyncio.Redis, settings: Settings) -> None:
        """`queue` gives bytes."""
        self._queue = AsyncQueueServer(queue)
        self._settings = settings

    async def read_status(self, session_id: str) -> tuple[Session, QueuePosition | None] | None:
        """As that of `SessionStore`."""
        return read_status_reply(await self._queue.script(*status_script(session_id, "", self._settings)))

    async def lanes(self) -> Mapping[Lane, LaneLoad]:
        """As that of `SessionStore`."""
        return read_lanes(await self._queue.script("lanes", *LANES))

    async def running_owners(self) -> tuple[tuple[str, str], ...]:
        """As that of `SessionStore`."""
        return read_running(await self._queue.script("running"))
