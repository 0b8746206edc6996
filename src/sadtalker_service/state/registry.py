"""What workers publish: the available engines, and their heartbeats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import redis

from sadtalker_service.engines.port import EngineCard
from sadtalker_service.errors import EngineStarting, EngineUnavailable
from sadtalker_service.state.queue_server import QueueServer
from sadtalker_service.state.records import KnownEngine, WorkerFacts

RENDERING_QUEUES = frozenset({"vip", "normal"})
"""Workers of these queues render videos, and count in estimates of the waiting time."""

FORGET_SECONDS = 600.0
"""After this long without a heartbeat a worker is forgotten, and with it engines that only it had."""

_ENGINES = "engines"
_DEFAULT = "engine:default"
_RETRY_AFTER = 3.0
"""Usual time to load an engine, seconds."""


class EngineRegistry:
    """Engines published by workers. Every method raises `StoreUnavailable`."""

    def __init__(self, queue: redis.Redis) -> None:
        self._queue = QueueServer(queue)

    def publish(self, card: EngineCard, *, default: bool) -> None:
        """Publish an engine that a worker can run. `default`: it is used if a request names no engine.

        Workers repeat this. An engine that is no longer published, while others are, is forgotten.
        """
        text = json.dumps(KnownEngine(card).to_json(), separators=(",", ":"))
        self._queue.script("publish_engine", card.name, text, int(default), FORGET_SECONDS)

    def card(self, name: str | None = None) -> EngineCard:
        """The engine `name`, or the default one.

        Raises `EngineStarting` (retryable) until a worker has published an engine, `EngineUnavailable` for an
        unknown name.
        """
        known, default = self._read()
        if not known:
            raise EngineStarting(
                "No worker has loaded an engine yet. Try again in a few seconds.", retry_after=_RETRY_AFTER
            )
        wanted = name or (default if default in known else min(known))
        if wanted not in known:
            names = ", ".join(sorted(known))
            raise EngineUnavailable(f"There is no engine {wanted!r}. Use one of: {names}.", param="engine")
        return _card(known[wanted])

    def all(self) -> Mapping[str, EngineCard]:
        """Name -> card, sorted by name."""
        known, _ = self._read()
        return {name: _card(known[name]) for name in sorted(known)}

    def _read(self) -> tuple[dict[str, bytes], str | None]:
        known, default = self._queue.commands(("HGETALL", _ENGINES), ("GET", _DEFAULT))
        return {name.decode(): text for name, text in known.items()}, default.decode() if default else None


class WorkerRegistry:
    """Heartbeats of workers. Every method raises `StoreUnavailable`. Times are from the server's clock."""

    def __init__(self, queue: redis.Redis) -> None:
        self._queue = QueueServer(queue)

    def beat(self, name: str, facts: WorkerFacts) -> None:
        """Record a heartbeat of the worker `name`. The server sets `facts.seen_at`."""
        renders = facts.state in {"idle", "busy"} and not RENDERING_QUEUES.isdisjoint(facts.queues)
        text = json.dumps(facts.to_json(), separators=(",", ":"))
        self._queue.script("beat", name, text, int(renders))

    def leave(self, name: str) -> None:
        """Record that the worker has ended."""
        self._queue.commands(
            ("HDEL", "workers", name), ("ZREM", "workers:seen", name), ("ZREM", "workers:rendering", name)
        )

    def live(self, max_age: float = 10.0) -> Mapping[str, WorkerFacts]:
        """Name -> facts of the workers with a heartbeat in the last `max_age` seconds, sorted by name."""
        raw = self._queue.script("living_workers", max_age, max(max_age, FORGET_SECONDS))
        found = {
            name.decode(): replace(WorkerFacts.from_json(json.loads(text)), seen_at=float(seen_at))
            for name, text, seen_at in zip(raw[::3], raw[1::3], raw[2::3], strict=True)
        }
        return dict(sorted(found.items()))


def _card(text: bytes) -> EngineCard:
    return KnownEngine.from_json(json.loads(text)).card
