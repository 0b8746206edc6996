"""The gauges show the current content of the stores, and whether a store answers."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.servers import StoreServer

from sadtalker_service.jobs.gauges import StoreGauges
from sadtalker_service.options import RenderOptions
from sadtalker_service.settings import Settings
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.records import AvatarRecord, Lane, Session, VideoSpec, WorkerFacts
from sadtalker_service.state.registry import WorkerRegistry
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.telemetry import metrics

IMAGE = "a" * 64
Samples = dict[tuple[str, ...], float]


class Stores:
    """Both servers, some content on the queue server, and the gauges over them."""

    def __init__(self, queue: StoreServer, cache: StoreServer, folder: Path) -> None:
        self.queue = queue
        self.clients = {"queue": queue.client(), "cache": cache.client()}
        self.settings = Settings(max_waiting=7)
        self.sessions = SessionStore(self.clients["queue"], self.settings)
        self.workers = WorkerRegistry(self.clients["queue"])
        self.later = 0.0
        self.gauges = StoreGauges(
            self.settings,
            self.sessions,
            self.workers,
            self.clients,
            {"artefacts": folder, "nowhere": folder / "missing"},
            clock=lambda: time.time() + self.later,
        )

    def ask(self) -> Samples:
        """(name, label values ...) -> value, of the gauges alone."""
        text = metrics.render(self.gauges).decode()
        ours = {family.name for family in self.gauges.collect()}
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            if family.name in ours
            for sample in family.samples
        }

    def accept(self, name: str, lane: Lane, age: float = 0.0) -> Session:
        spec = VideoSpec(IMAGE, name.ljust(64, "0"), RenderOptions(), "mesh", "1", 4.0)
        return self.sessions.accept(Session(name, lane, spec, f"result-{name}", time.time() - age))


@pytest.fixture
def stores(queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path) -> Stores:
    picture = AvatarRecord(IMAGE, "full", "ready", 0.0, 0.0, 640, 480, 1_000, "image/jpeg")
    AvatarStore(queue_server.client()).add(picture)
    return Stores(queue_server, cache_server, tmp_path)


def test_empty_service_has_empty_lanes_and_no_workers(stores: Stores) -> None:
    found = stores.ask()
    assert found["sadtalker_queue_waiting", "vip"] == found["sadtalker_queue_waiting", "standard"] == 0
    assert found["sadtalker_queue_oldest_seconds", "vip"] == 0
    assert found["sadtalker_queue_limit",] == 7
    assert found["sadtalker_jobs_running",] == found["sadtalker_dead_jobs",] == 0
    assert found["sadtalker_workers", "vip", "idle"] == 0


def test_waiting_and_running_sessions_are_counted_and_aged(stores: Stores) -> None:
    stores.accept("one", "standard", age=30)
    stores.accept("two", "standard", age=10)
    stores.accept("three", "vip")
    assert stores.sessions.begin("three", "worker") is not None
    found = stores.ask()
    assert found["sadtalker_queue_waiting", "standard"] == 2
    assert found["sadtalker_queue_oldest_seconds", "standard"] == pytest.approx(30, abs=5)
    assert found["sadtalker_queue_waiting", "vip"] == 0
    assert found["sadtalker_jobs_running",] == 1


def test_workers_are_counted_by_queue_and_state_until_they_are_silent(stores: Stores) -> None:
    facts = WorkerFacts(("vip", "normal"), "mesh", "idle")
    stores.workers.beat("first@host", facts)
    stores.workers.beat("second@host", replace(facts, state="busy"))
    stores.workers.beat("third@host", WorkerFacts(("prepare",), "mesh", "idle"))
    found = stores.ask()
    assert found["sadtalker_workers", "vip", "idle"] == found["sadtalker_workers", "vip", "busy"] == 1
    assert found["sadtalker_workers", "prepare", "idle"] == 1
    assert found["sadtalker_worker_heartbeat_age_seconds", "first@host"] < 10
    stores.later = 60
    found = stores.ask()
    assert found["sadtalker_workers", "vip", "idle"] == 0
    assert found["sadtalker_worker_heartbeat_age_seconds", "first@host"] > 50


def test_servers_report_memory_and_evictions(stores: Stores) -> None:
    for number in range(100):  # more than the 64 MB of the test's cache
        stores.clients["cache"].set(f"face_mesh:{number}", b"x" * 1_000_000)
    found = stores.ask()
    assert found["sadtalker_store_up", "queue"] == found["sadtalker_store_up", "cache"] == 1
    assert found["sadtalker_store_max_memory_bytes", "cache"] == 64_000_000
    assert 0 < found["sadtalker_store_memory_bytes", "cache"] <= 70_000_000
    assert found["sadtalker_store_evicted_keys_total", "cache"] > 20
    assert found["sadtalker_store_evicted_keys_total", "queue"] == 0


def test_free_space_is_reported_for_existing_folders(stores: Stores) -> None:
    found = stores.ask()
    assert found["sadtalker_disk_free_bytes", "artefacts"] > 1_000_000
    assert ("sadtalker_disk_free_bytes", "nowhere") not in found


def test_dead_queue_server_is_reported_and_the_rest_remains(stores: Stores) -> None:
    stores.queue.kill()
    found = stores.ask()
    assert found["sadtalker_store_up", "queue"] == 0
    assert found["sadtalker_store_up", "cache"] == 1
    assert ("sadtalker_queue_waiting", "vip") not in found
    assert found["sadtalker_disk_free_bytes", "artefacts"] > 0
    stores.queue.start()
    assert stores.ask()["sadtalker_store_up", "queue"] == 1
