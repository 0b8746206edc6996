"""Gauges that are read from the stores at each metrics request: queue, workers, servers, disk.

Every process reports the same values of the stores, so take the maximum over all instances, not the sum. A
server that does not answer is reported as down, and its values are left out.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from redis.exceptions import RedisError

from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.settings import Settings
from sadtalker_service.state.registry import WorkerRegistry
from sadtalker_service.state.session_replies import WORKER_LIVES_SECONDS
from sadtalker_service.state.sessions import SessionStore

SILENT_SECONDS = 300.0
"""How long the last heartbeat of a silent worker is reported, so that its loss is noticed."""

STATES = ("starting", "idle", "busy", "stopping")


class StoreGauges:
    """A collector for `telemetry.metrics.render`. One collection costs a few round trips to both servers."""

    def __init__(
        self,
        settings: Settings,
        sessions: SessionStore,
        workers: WorkerRegistry,
        servers: Mapping[str, redis.Redis],
        folders: Mapping[str, Path],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            settings: for the limit of a lane.
            sessions: on the queue server.
            workers: on the queue server.
            servers: `queue` and `cache`.
            folders: name -> folder whose free space is reported; missing ones are left out.
            clock: seconds since 1970, as on the servers.
        """
        self._settings = settings
        self._sessions = sessions
        self._workers = workers
        self._servers = servers
        self._folders = folders
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        """The current gauges."""
        yield from self._server_gauges()
        with suppress(StoreUnavailable):  # `sadtalker_store_up` reports it
            yield from [*self._lane_gauges(), *self._session_gauges(), *self._worker_gauges()]
        yield self._disk_gauge()

    def _lane_gauges(self) -> Iterator[Metric]:
        waiting = _gauge("sadtalker_queue_waiting", "Waiting sessions of a lane.", "lane")
        oldest = _gauge(
            "sadtalker_queue_oldest_seconds", "Age of the longest-waiting session; 0 if none.", "lane"
        )
        for lane, load in self._sessions.lanes().items():
            waiting.add_metric([lane], load.waiting)
            oldest.add_metric([lane], self._age(load.oldest_at) if load.oldest_at is not None else 0.0)
        yield waiting
        yield oldest
        yield GaugeMetricFamily(
            "sadtalker_queue_limit",
            "Limit of waiting sessions per lane.",
            value=self._settings.max_waiting,
        )

    def _session_gauges(self) -> Iterator[Metric]:
        running = len(self._sessions.running())
        yield GaugeMetricFamily("sadtalker_jobs_running", "Jobs running under a lease.", value=running)
        dead = len(self._sessions.dead())
        yield GaugeMetricFamily(
            "sadtalker_dead_jobs", "Sessions in the list of given-up sessions.", value=dead
        )

    def _worker_gauges(self) -> Iterator[Metric]:
        known = self._workers.live(SILENT_SECONDS)
        ages = {name: self._age(facts.seen_at) for name, facts in known.items()}
        heartbeat = _gauge(
            "sadtalker_worker_heartbeat_age_seconds", "Time since the last heartbeat of a worker.", "worker"
        )
        for name, age in ages.items():
            heartbeat.add_metric([name], age)
        alive = [facts for name, facts in known.items() if ages[name] < WORKER_LIVES_SECONDS]
        counted: Counter[tuple[str, str]] = Counter(
            (queue, facts.state) for facts in alive for queue in facts.queues
        )
        workers = _gauge("sadtalker_workers", "Live workers by queue and state.", "queue", "state")
        for queue in sorted({"vip", "normal", "prepare"} | {queue for queue, _ in counted}):
            for state in STATES:
                workers.add_metric([queue, state], counted[queue, state])
        yield heartbeat
        yield workers

    def _server_gauges(self) -> Iterator[Metric]:
        up = _gauge("sadtalker_store_up", "Whether the server answers.", "store")
        used = _gauge("sadtalker_store_memory_bytes", "Memory that the server uses for data.", "store")
        most = _gauge("sadtalker_store_max_memory_bytes", "Memory limit of the server; 0 for none.", "store")
        evicted = CounterMetricFamily(
            "sadtalker_store_evicted_keys", "Keys evicted for lack of memory.", labels=["store"]
        )
        for name, client in self._servers.items():
            facts = _facts(client)
            up.add_metric([name], float(facts is not None))
            if facts is not None:
                used.add_metric([name], float(facts["used_memory"]))
                most.add_metric([name], float(facts["maxmemory"]))
                evicted.add_metric([name], float(facts["evicted_keys"]))
        yield from (up, used, most, evicted)

    def _disk_gauge(self) -> Metric:
        free = _gauge("sadtalker_disk_free_bytes", "Free disk space at a folder.", "folder")
        for name, folder in self._folders.items():
            if folder.is_dir():
                free.add_metric([name], shutil.disk_usage(folder).free)
        return free

    def _age(self, moment: float) -> float:
        return max(0.0, self._clock() - moment)


def _gauge(name: str, meaning: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, labels=labels)


def _facts(client: redis.Redis) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = {**client.info("memory"), **client.info("stats")}
    except RedisError:
        return None
    return facts
