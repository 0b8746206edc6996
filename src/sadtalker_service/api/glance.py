"""The queue as all clients of one moment see it: read from the store at most a few times a second.

A hundred clients that ask for their sessions would otherwise ask a hundred times for the same two numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sadtalker_service.jobs.polls import SessionPolls
from sadtalker_service.jobs.records import Lane
from sadtalker_service.jobs.sessions import LaneLoad, SessionStore

FRESH_SECONDS = 0.25


@dataclass(frozen=True)
class Glance:
    """How full the queue was."""

    lanes: Mapping[Lane, LaneLoad]
    running: tuple[str, ...]
    """Ids of sessions that were running."""


def look_around(sessions: SessionStore) -> Glance:
    """The queue as it is. Raises `StoreUnavailable`."""
    return Glance(sessions.lanes(), sessions.running())


class QueueWatch:
    """Looks when the last look is too old. For the event loop."""

    def __init__(self, polls: SessionPolls, clock: Callable[[], float]) -> None:
        """`clock` gives seconds from any start."""
        self._polls = polls
        self._clock = clock
        self._looking = asyncio.Lock()
        self._seen: Glance | None = None
        self._seen_at = 0.0

    def forget(self) -> None:
        """Look again at the next question, however short ago the last look was."""
        self._seen = None

    async def glance(self) -> Glance:
        """The queue, as it is or was a moment ago. Raises `StoreUnavailable`."""
        async with self._looking:
            if self._seen is None or self._clock() - self._seen_at > FRESH_SECONDS:
                self._seen = Glance(await self._polls.lanes(), await self._polls.running())
                self._seen_at = self._clock()
            return self._seen
