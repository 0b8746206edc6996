"""Load of the queue, read from the store at most a few times per second.

Otherwise a hundred clients that poll their sessions would read the same two numbers a hundred times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sadtalker_service.state.async_sessions import AsyncSessions
from sadtalker_service.state.records import Lane
from sadtalker_service.state.session_replies import LaneLoad
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.viewer import Viewer

FRESH_SECONDS = 0.25


@dataclass(frozen=True)
class QueueStats:
    """Load of the queue at one moment."""

    lanes: Mapping[Lane, LaneLoad]
    running: tuple[tuple[str, str], ...]
    """(id, owner) of the sessions that were running."""

    def current(self, viewer: Viewer) -> str | None:
        """First digits of the id of a running session that `viewer` may see. Only its owner gets the rest."""
        return next((name[:8] for name, owner in self.running if viewer.sees(owner)), None)


def measure_queues(sessions: SessionStore) -> QueueStats:
    """The current load of the queue. Raises `StoreUnavailable`."""
    return QueueStats(sessions.lanes(), sessions.running_owners())


class QueueStatsCache:
    """Reads the load again if the last reading is too old. For the event loop."""

    def __init__(self, polls: AsyncSessions, clock: Callable[[], float]) -> None:
        """`clock` returns seconds since any fixed start."""
        self._polls = polls
        self._clock = clock
        self._lock = asyncio.Lock()
        self._seen: QueueStats | None = None
        self._seen_at = 0.0

    def forget(self) -> None:
        """Read again at the next call, even if the last reading is recent."""
        self._seen = None

    async def queue_stats(self) -> QueueStats:
        """The load of the queue, at most a moment old. Raises `StoreUnavailable`."""
        async with self._lock:
            if self._seen is None or self._clock() - self._seen_at > FRESH_SECONDS:
                self._seen = QueueStats(await self._polls.lanes(), await self._polls.running_owners())
                self._seen_at = self._clock()
            return self._seen
