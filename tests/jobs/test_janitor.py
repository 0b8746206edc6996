"""The janitor: what it puts right, and that nothing stops it. What it does for real workers is in
tests/service/test_workers_die.py."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.servers import StoreServer
from tests.support.workers import Cluster, open_cluster, wait_for

from sadtalker_service.engines.port import Capabilities, EngineCard
from sadtalker_service.jobs.janitor import Janitor, make_janitor, run_janitor
from sadtalker_service.options import RenderOptions
from sadtalker_service.settings import Settings
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.records import Session
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.webhook_queue import WebhookQueue

LEASE = 1.0
"""Lease of the janitors in this file; the shortest that the settings allow is two seconds."""
CARD = EngineCard("pattern", "1", Capabilities(("full",), (64, 512)), ())


@pytest.fixture
def cluster(queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path) -> Iterator[Cluster]:
    """Stores without any worker."""
    with open_cluster(queue_server, cache_server, tmp_path, lease_seconds=2.0) as opened:
        opened.engines.publish(CARD, default=True)
        yield opened


@pytest.fixture
def clock() -> list[float]:
    """The janitor's clock, in seconds."""
    return [1_000.0]


@pytest.fixture
def janitor(cluster: Cluster, clock: list[float]) -> Janitor:
    wait_for_uptime(cluster)
    return janitor_of(cluster, clock)


def janitor_of(cluster: Cluster, clock: list[float]) -> Janitor:
    """A janitor whose stores use its clock from now on."""
    ahead = time.time() - clock[0]

    def now() -> float:
        return ahead + clock[0]

    return Janitor(
        cluster.queue,
        SessionStore(cluster.queue, cluster.settings, now),
        AvatarStore(cluster.queue, now),
        cluster.dispatch,
        WebhookQueue(cluster.queue),
        LEASE,
        (),
        clock=lambda: clock[0],
    )


def wait_for_uptime(cluster: Cluster) -> None:
    """Wait until leases count; a server that has just started is not trusted with them."""
    wait_for(lambda: cluster.queue.info("server")["uptime_in_seconds"] > LEASE, "uptime")


def begun(cluster: Cluster, seed: int = 0) -> Session:
    """A session that a worker has started."""
    session_id = cluster.request(
        cluster.source_image(), cluster.speech(), RenderOptions(seed=seed), send=False
    )
    session = cluster.sessions.begin(session_id, "worker")
    assert session is not None
    return session


def expire(cluster: Cluster, session: Session) -> None:
    cluster.queue.zadd("running", {session.session_id: 1.0})


def test_job_with_an_expired_lease_goes_first(cluster: Cluster, janitor: Janitor) -> None:
    lost, alive = begun(cluster, 1), begun(cluster, 2)
    expire(cluster, lost)
    assert janitor.tick()
    assert cluster.session(lost.session_id).state == "queued"
    assert cluster.queue.llen("again") == 1
    assert cluster.session(alive.session_id).state == "generating"


def test_after_an_outage_workers_have_time_to_renew_their_leases(
    cluster: Cluster, janitor: Janitor, clock: list[float], queue_server: StoreServer
) -> None:
    session = begun(cluster)
    expire(cluster, session)
    queue_server.kill()
    assert not janitor.tick()
    queue_server.start()
    clock[0] += LEASE + 1
    assert janitor.tick()
    assert cluster.session(session.session_id).state == "generating"  # the server itself has just started
    wait_for_uptime(cluster)
    clock[0] += 1
    assert janitor.tick()
    assert cluster.session(session.session_id).state == "queued"


def test_a_session_without_a_message_gets_one(cluster: Cluster, janitor: Janitor, clock: list[float]) -> None:
    session_id = cluster.request(cluster.source_image(), cluster.speech(), send=False)
    assert janitor.tick()
    assert cluster.queue.llen("normal") == 0  # its message may be on its way
    clock[0] += LEASE + 5
    assert janitor.tick()
    assert cluster.queue.llen("normal") == 1
    assert cluster.sessions.waiting("standard") == (session_id,)
    clock[0] += LEASE + 60
    assert janitor.tick()
    assert cluster.queue.llen("normal") == 1  # one message is enough


def test_unprepared_avatar_gets_a_message(cluster: Cluster, janitor: Janitor, clock: list[float]) -> None:
    cluster.source_image()
    assert janitor.tick()
    assert cluster.queue.llen("prepare") == 0
    other = janitor_of(cluster, clock)
    clock[0] += LEASE + 5
    assert other.tick()  # it does nothing, because the first one has the lock
    assert cluster.queue.llen("prepare") == 0
    janitor.leave()
    wait_for(lambda: not cluster.queue.exists("lock:janitor"), "the lock is free")
    assert other.tick()
    assert cluster.queue.llen("prepare") == 1


def test_ended_session_with_a_callback_is_announced_once(cluster: Cluster, janitor: Janitor) -> None:
    session_id = cluster.request(
        cluster.source_image(), cluster.speech(), callback_url="https://x.example/", send=False
    )
    cluster.sessions.cancel(session_id)
    assert janitor.tick()
    callbacks = WebhookQueue(cluster.queue)
    (callback,) = callbacks.claim()
    assert (callback.callback_id, callback.url) == (session_id, "https://x.example/")
    assert '"video.cancelled"' in callback.body
    callbacks.delivered(callback)
    assert janitor.tick()
    assert callbacks.count() == 0


def test_one_janitor_is_active_and_another_takes_over(
    cluster: Cluster, janitor: Janitor, clock: list[float]
) -> None:
    other = janitor_of(cluster, clock)
    assert janitor.tick()
    expire(cluster, begun(cluster))
    assert other.tick()
    assert cluster.queue.llen("again") == 0
    cluster.queue.delete("lock:janitor")  # as if it had expired after its holder died
    assert other.tick()
    assert cluster.queue.llen("again") == 1
    expire(cluster, begun(cluster, 2))
    clock[0] += 1
    assert janitor.tick()
    assert cluster.queue.llen("again") == 1


def test_janitor_survives_errors_and_continues(
    cluster: Cluster, queue_server: StoreServer, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=run_janitor, args=(cluster.settings, stop))
    thread.start()
    try:
        wait_for(lambda: bool(cluster.queue.exists("lock:janitor")), "the first tick")
        cluster.queue.set("tickets", "not what belongs here")  # the wrong type, which makes a script fail
        wait_for(lambda: "janitor_stumbled" in capsys.readouterr().out, "the error is logged")
        queue_server.kill()
        wait_for(lambda: "janitor_waits" in capsys.readouterr().out, "the outage is logged")
        queue_server.start()
        cluster.queue.flushall()
        cluster.engines.publish(CARD, default=True)
        session = begun(cluster)
        expire(cluster, session)
        wait_for(lambda: cluster.session(session.session_id).state == "queued", "the job is found")
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


def test_all_duties_follow_the_settings(cluster: Cluster) -> None:
    settings: Settings = cluster.settings
    janitor = make_janitor(settings)
    audio_id = cluster.speech()
    old = replace(cluster.session(cluster.request(cluster.source_image(), audio_id, send=False)))
    cluster.sessions.cancel(old.session_id)
    path = cluster.artefacts.path(f"speech/{audio_id}")
    assert path is not None
    long_ago = time.time() - settings.speech_retention_seconds - 60
    os.utime(path, (long_ago, long_ago))
    assert janitor.tick()
    wait_for(lambda: not path.exists(), "the old audio file is removed")
