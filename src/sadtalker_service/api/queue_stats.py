"""The queue as all clients of one moment see it: read from the store at most a few times a second.

A hundred clients that ask for their sessions would otherwise ask a hundred times for the same two numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sadtalker_service.state.async_sessions import AsyncSessions
from sadtalker_service.state.records import Lane
from sadtalker_service.state.sessions import LaneLoad, SessionStore
from sadtalker_service.state.viewer import Viewer

FRESH_SECONDS = 0.25


@dataclass(frozen=True)
class QueueStats:
    """How full the queue was."""

    lanes: Mapping[Lane, LaneLoad]
    running: tuple[tuple[str, str], ...]
    """(id, owner) of the sessions that were running."""

    def current(self, viewer: Viewer) -> str | None:
        """Beginning of the id of a running session that `viewer` may see: the whole is for its owner."""
        return next((name[:8] for name, owner in self.running if viewer.sees(owner)), None)


def measure_queues(sessions: SessionStore) -> QueueStats:
    """The queue as it is. Raises `StoreUnavailable`."""
    return QueueStats(sessions.lanes(), sessions.running_owners())


class QueueStatsCache:
    """Looks when the last look is too old. For the event loop."""

    def __init__(self, polls: AsyncSessions, clock: Callable[[], float]) -> None:
        """`clock` gives seconds from any start."""
        self._polls = polls
        self._clock = clock
        self._looking = asyncio.Lock()
        self._seen: QueueStats | None = None
        self._seen_at = 0.0

    def forget(self) -> None:
        """Look again at the next question, however short ago the last look was."""
        self._seen = None

    async def queue_stats(self) -> QueueStats:
        """The queue, as it is or was a moment ago. Raises `StoreUnavailable`."""
        async with self._looking:
            if self._seen is None or self._clock() - self._seen_at > FRESH_SECONDS:
                self._seen = QueueStats(await self._polls.lanes(), await self._polls.running_owners())
                self._seen_at = self._clock()
            return self._seen
