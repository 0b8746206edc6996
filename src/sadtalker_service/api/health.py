"""Readiness checks. They run in threads; results are kept for a moment, as probes are frequent."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

import redis

from sadtalker_service.api.schemas.stats import Check, Ready
from sadtalker_service.api.services import Services
from sadtalker_service.errors import SadTalkerError
from sadtalker_service.state.records import WorkerFacts

FRESH_SECONDS = 1.0
_WRITABLE_SECONDS = 10.0
"""A test write costs more than a ping."""
_WARM = frozenset({"idle", "busy"})


class Health:
    """Runs the checks if the last results are too old."""

    def __init__(self, services: Services, clock: Callable[[], float]) -> None:
        self._services = services
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: tuple[float, dict[str, Check]] | None = None
        self._written: tuple[float, Check] | None = None

    def ready(self) -> Ready:
        """Whether work is accepted. Raises nothing: an unreachable part is a failed check."""
        with self._lock:
            now = self._clock()
            if self._seen is None or now - self._seen[0] > FRESH_SECONDS:
                self._seen = (self._clock(), self._run_checks())
            checks = dict(self._seen[1])
        draining = self._services.drain.begun
        checks["draining"] = Check(
            ok=not draining, required=True, detail="shutting down" if draining else None
        )
        if not all(check.ok for check in checks.values() if check.required):
            return Ready(status="not_ready", checks=checks)
        degraded = not all(check.ok for check in checks.values())
        return Ready(status="degraded" if degraded else "ready", checks=checks)

    def forget(self) -> None:
        """Run all checks at the next call."""
        with self._lock:
            self._seen = self._written = None

    def _run_checks(self) -> dict[str, Check]:
        services = self._services
        queue = _ping(services.queue, required=True)
        return {
            "queue_store": queue,
            "cache_store": _ping(services.cache_client, required=False),
            "artefact_store": self._writable(),
            "worker": self._worker(),
            "engines": self._engines() if queue.ok else Check(ok=True, required=False, detail="unknown"),
        }

    def _writable(self) -> Check:
        if self._written is None or self._clock() - self._written[0] > _WRITABLE_SECONDS:
            self._written = (self._clock(), self._try_to_write())
        return self._written[1]

    def _try_to_write(self) -> Check:
        store, name = self._services.artefacts, f"probes/{secrets.token_hex(8)}"
        try:
            store.put_bytes(b"ready?", name)
            store.delete(name)
        except SadTalkerError as error:
            return Check(ok=False, required=True, detail=error.public_message)
        except OSError as error:
            return Check(ok=False, required=True, detail=error.strerror or type(error).__name__)
        return Check(ok=True, required=True)

    def _worker(self) -> Check:
        try:
            live = self._services.workers.live()
        except SadTalkerError as error:
            return Check(ok=False, required=True, detail=error.public_message)
        warm = sum(renders(facts) for facts in live.values())
        detail = f"{warm} of {len(live)} workers have an engine loaded for videos"
        return Check(ok=warm > 0, required=True, detail=detail)

    def _engines(self) -> Check:
        """For information only: available engines, and installed ones that cannot run."""
        services = self._services
        try:
            known, live = services.engines.all(), services.workers.live()
            default = services.engines.card().name if known else None
        except SadTalkerError as error:
            return Check(ok=True, required=False, detail=f"unknown: {error.public_message}")
        names = ", ".join(f"{name} (default)" if name == default else name for name in known)
        lacking = {name: why for facts in live.values() for name, why in facts.obstacles.items()}
        nowhere = sorted(lacking.keys() - known.keys())  # another worker may have what one lacks
        reasons = [f"{name} cannot run here: {lacking[name]}" for name in nowhere]
        return Check(ok=True, required=False, detail="; ".join([names or "none yet", *reasons]))


def renders(facts: WorkerFacts) -> bool:
    """Whether a worker renders videos and has its engine loaded."""
    return facts.state in _WARM and facts.engine is not None and any(q != "prepare" for q in facts.queues)


def _ping(client: redis.Redis, *, required: bool) -> Check:
    try:
        client.ping()
    except redis.RedisError as error:
        # the text of the error may contain an address with a password
        return Check(ok=False, required=required, detail=f"does not answer ({type(error).__name__})")
    return Check(ok=True, required=required)
