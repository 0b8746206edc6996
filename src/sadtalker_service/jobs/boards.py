"""What workers tell the others: the engines that there are, and who is alive."""

from __future__ import annotations

from collections.abc import Mapping

import redis

from sadtalker_service.engines.base import EngineCard
from sadtalker_service.jobs.queue_server import QueueServer
from sadtalker_service.jobs.records import WorkerFacts


class EngineShelf:
    """Engines as workers have published them. Every method raises `StoreUnavailable`."""

    def __init__(self, queue: redis.Redis) -> None:
        self._queue = QueueServer(queue)

    def publish(self, card: EngineCard, *, default: bool) -> None:
        """An engine is loaded somewhere. `default`: requests that name none get this one."""

    def card(self, name: str | None = None) -> EngineCard:
        """The engine called `name`, or the default one.

        Raises `EngineStarting` (retryable) while no worker has said anything, `EngineUnavailable` for a name
        that no worker has.
        """

    def all(self) -> Mapping[str, EngineCard]:
        """Name -> card, sorted by name."""


class WorkerBoard:
    """Heartbeats. Every method raises `StoreUnavailable`. Times are of the server's clock."""

    def __init__(self, queue: redis.Redis) -> None:
        self._queue = QueueServer(queue)

    def beat(self, name: str, facts: WorkerFacts) -> None:
        """The worker called `name` lives. `facts.seen_at` is set here."""

    def leave(self, name: str) -> None:
        """The worker has ended."""

    def live(self, max_age: float = 10.0) -> Mapping[str, WorkerFacts]:
        """Name -> facts of the workers heard of in the last `max_age` seconds; older ones are forgotten."""
