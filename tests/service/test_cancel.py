"""A cancelled session stops at once, and the worker stays warm for the next one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.support.pattern_engine import SLOW
from tests.support.servers import cache_store, queue_store
from tests.support.workers import Cluster, WorkerProcess, open_cluster, wait_for

from sadtalker_service.jobs.video_service import VideoService
from sadtalker_service.options import RenderOptions
from sadtalker_service.state.statistics import Statistics
from sadtalker_service.store.artefact_store import video_name
from sadtalker_service.store.redis_cache import RedisCache


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    queue, cache = queue_store(), cache_store()
    try:
        queue.start()
        cache.start()
        with open_cluster(queue, cache, tmp_path_factory.mktemp("cluster")) as opened:
            yield opened
    finally:
        queue.remove()
        cache.remove()


@pytest.fixture
def worker(cluster: Cluster) -> WorkerProcess:
    return cluster.ensure("vip,normal", "render")


def test_running_session_stops_within_a_batch_and_the_warm_process_takes_the_next(
    cluster: Cluster, worker: WorkerProcess
) -> None:
    child = worker.child
    image_id, audio_id = cluster.source_image(), cluster.speech(20)
    running = cluster.request(
        image_id, audio_id, RenderOptions(seed=SLOW + 300), seconds=20
    )  # takes at least 20 s
    waiting = cluster.request(image_id, cluster.speech())
    cluster.wait_for_frame(running)
    cancelled_at = time.time()
    cluster.sessions.cancel(running)
    cancelled, following = cluster.wait(running, "cancelled"), cluster.wait(waiting, "ready")
    assert cancelled.failure is None
    assert cancelled.ended_at is not None
    assert following.started_at is not None
    assert following.started_at - cancelled_at < 5.0  # 0.2 s on an idle machine
    assert worker.child == child
    assert len(cluster.videos()) == 1
    assert list((cluster.settings.data_dir / "scratch").rglob("*.mp4")) == []


def test_waiting_session_never_starts(cluster: Cluster, worker: WorkerProcess) -> None:
    image_id, audio_id = cluster.source_image(), cluster.speech()
    running = cluster.request(image_id, audio_id, RenderOptions(seed=SLOW + 101))
    waiting = cluster.request(image_id, audio_id, RenderOptions(seed=1))
    last = cluster.request(image_id, audio_id, RenderOptions(seed=2))
    cluster.wait_for_frame(running)
    cluster.sessions.cancel(waiting)
    assert cluster.session(waiting).state == "cancelled"
    cluster.wait(last, "ready")
    assert cluster.session(waiting).attempt == 0
    assert cluster.queue.llen("normal") == 0


def test_rendering_continues_for_an_equal_request_that_was_not_cancelled(
    cluster: Cluster, worker: WorkerProcess
) -> None:
    image_id, audio_id = cluster.source_image(), cluster.speech()
    first = cluster.request(image_id, audio_id, RenderOptions(seed=SLOW + 102))
    cluster.wait_for_frame(first)
    second = cluster.request(image_id, audio_id, RenderOptions(seed=SLOW + 102))
    cluster.sessions.cancel(first)
    session = cluster.wait(second, "ready")
    assert cluster.session(first).state == "cancelled"
    assert session.run_id == first
    assert session.attempt == 1


def test_deleting_an_avatar_ends_its_sessions_and_removes_everything(
    cluster: Cluster, worker: WorkerProcess
) -> None:
    before = cluster.files()
    image_id, audio_id = cluster.source_image(seed=7), cluster.speech(20, pitch=300)
    session_id = cluster.request(image_id, audio_id, RenderOptions(seed=SLOW + 50), seconds=20)
    cluster.wait_for_frame(session_id)
    assert cluster.cached(f"*{image_id}*")
    video_service = VideoService(
        sessions=cluster.sessions,
        avatars=cluster.avatars,
        engines=cluster.engines,
        statistics=Statistics(cluster.queue),
        artefacts=cluster.artefacts,
        cache=RedisCache(cluster.cache),
        dispatch=cluster.dispatch,
    )
    video_service.delete_avatar(image_id)
    cluster.wait(session_id, "cancelled")
    wait_for(lambda: not cluster.cached(f"*{image_id}*"), "the cache is empty", 20, cluster.logs)
    assert [file for file in cluster.files() if file not in before and "speech" not in file.parts] == []


def test_running_mesh_session_stops_and_the_warm_process_takes_the_next(cluster: Cluster) -> None:
    worker = cluster.ensure("vip,normal", "render")
    assert worker.stop() == 0
    mesh = cluster.ensure("vip,normal", "mesh", engine="mesh")
    child = mesh.child
    image_id, audio_id = cluster.real_source_image(), cluster.real_speech()
    style = RenderOptions(preprocess="crop", size=256)
    running = cluster.request(image_id, audio_id, style, seconds=10.4)
    waiting = cluster.request(image_id, cluster.speech(), style)
    cluster.wait_for_frame(running)
    cluster.sessions.cancel(running)
    cluster.wait(running, "cancelled")
    cluster.wait(waiting, "ready")
    assert mesh.child == child
    assert not cluster.artefacts.exists(video_name(cluster.session(running).result_key))
