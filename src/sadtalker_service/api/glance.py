"""The queue as all clients of one moment see it: read from the store at most a few times a second.

A hundred clients that ask for their sessions would otherwise ask a hundred times for the same two numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sadtalker_service.jobs.records import Lane
from sadtalker_service.jobs.sessions import LaneLoad, SessionStore

FRESH_SECONDS = 0.25


@dataclass(frozen=True)
class Glance:
    """How full the queue was."""

    lanes: Mapping[Lane, LaneLoad]
    running: tuple[str, ...]
    """Ids of sessions that were running."""


class QueueWatch:
    """Looks when the last look is too old."""

    def __init__(self, sessions: SessionStore, clock: Callable[[], float]) -> None:
        """`clock` gives seconds from any start."""
        self._sessions = sessions
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: Glance | None = None
        self._seen_at = 0.0

    def glance(self) -> Glance:
        """The queue, as it is or was a moment ago. Raises `StoreUnavailable`."""
        with self._lock:
            if self._seen is None or self._clock() - self._seen_at > FRESH_SECONDS:
                self._seen = Glance(self._sessions.lanes(), self._sessions.running())
                self._seen_at = self._clock()
            return self._seen
