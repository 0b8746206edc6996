"""Real workers serve VIP requests first, but every request is served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.pattern_engine import SLOW
from tests.support.servers import StoreServer
from tests.support.workers import Cluster, open_cluster, wait_for

from sadtalker_service.options import RenderOptions
from sadtalker_service.state.records import Session

VIP_IN_A_ROW = 4


@pytest.fixture
def cluster(queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path) -> Iterator[Cluster]:
    with open_cluster(queue_server, cache_server, tmp_path, vip_in_a_row=VIP_IN_A_ROW) as opened:
        yield opened


def in_order(sessions: list[Session]) -> list[str]:
    """Return the session ids by start time."""
    return [s.session_id for s in sorted(sessions, key=lambda s: s.started_at or 0.0)]


def test_vip_overtakes_twenty_waiting_requests_but_standard_ones_are_served(
    cluster: Cluster,
) -> None:
    cluster.worker()
    image_id, audio_id = cluster.source_image(), cluster.speech()
    running = cluster.request(image_id, audio_id, RenderOptions(seed=SLOW + 250))
    cluster.wait_for_frame(running)
    standard = [cluster.request(image_id, audio_id, RenderOptions(seed=n)) for n in range(20)]
    vip = [cluster.request(image_id, audio_id, RenderOptions(seed=100 + n), lane="vip") for n in range(10)]
    assert cluster.session(running).state == "generating"
    ready = [cluster.wait(session_id, "ready") for session_id in (*standard, *vip)]
    order = in_order(ready)
    assert [session_id for session_id in order if session_id in standard] == standard
    assert [session_id for session_id in order if session_id in vip] == vip
    # one that was already running, then the VIP requests in a row, then a standard one
    lanes = ["v" if session_id in vip else "s" for session_id in order]
    assert "".join(lanes[:12]) == "vvvvsvvvvsvv"


def test_standard_requests_are_served_under_constant_vip_load(cluster: Cluster) -> None:
    cluster.worker()
    image_id, audio_id = cluster.source_image(), cluster.speech(0.2)
    vip = [
        cluster.request(image_id, audio_id, RenderOptions(seed=n), lane="vip", seconds=0.2) for n in range(30)
    ]
    standard = [
        cluster.request(image_id, audio_id, RenderOptions(seed=100 + n), seconds=0.2) for n in range(3)
    ]
    added = 0
    while any(cluster.session(session_id).state != "ready" for session_id in standard):
        while len(cluster.sessions.waiting("vip")) < 10:  # VIP requests are always waiting
            style = RenderOptions(seed=1_000_000 + added)
            vip.append(cluster.request(image_id, audio_id, style, lane="vip", seconds=0.2))
            added += 1
        assert added < 500
    assert cluster.sessions.waiting("vip")


def test_two_workers_share_the_jobs_and_make_each_video_once(cluster: Cluster) -> None:
    workers = [cluster.worker(name=name, warm=False) for name in ("one", "two")]
    cluster.wait_until_warm("one", "two")
    image_id, audio_id = cluster.source_image(), cluster.speech()
    sessions = [cluster.request(image_id, audio_id, RenderOptions(seed=SLOW + n)) for n in range(50, 62)]
    again = [
        cluster.request(image_id, audio_id, RenderOptions(seed=SLOW + n), lane="vip") for n in range(50, 53)
    ]
    for session_id in (*sessions, *again):
        cluster.wait(session_id, "ready")

    def made_by_each() -> list[int]:
        return [worker.log.count('"job_ready"') for worker in workers]

    # a video is ready a moment before its worker logs it
    wait_for(lambda: sum(made_by_each()) >= len(sessions), "all is logged", logs=cluster.logs)
    made = made_by_each()
    assert sum(made) == len(cluster.videos()) == len(sessions)
    assert min(made) >= 2
