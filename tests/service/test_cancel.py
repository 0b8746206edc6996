"""A cancelled session stops at once, and the worker stays warm for the next one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.support.pattern_engine import SLOW
from tests.support.servers import cache_store, queue_store
from tests.support.workers import WorkerProcess, Workshop, open_workshop, wait_for

from sadtalker_service.jobs.video_service import VideoService
from sadtalker_service.options import RenderOptions
from sadtalker_service.state.statistics import Statistics
from sadtalker_service.store.artefact_store import video_name
from sadtalker_service.store.redis_cache import RedisCache


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    queue, cache = queue_store(), cache_store()
    try:
        queue.start()
        cache.start()
        with open_workshop(queue, cache, tmp_path_factory.mktemp("shop")) as opened:
            yield opened
    finally:
        queue.remove()
        cache.remove()


@pytest.fixture
def worker(shop: Workshop) -> WorkerProcess:
    return shop.ensure("vip,normal", "render")


def test_running_session_stops_within_a_batch_and_the_warm_process_takes_the_next(
    shop: Workshop, worker: WorkerProcess
) -> None:
    child = worker.child
    image_id, audio_id = shop.source_image(), shop.speech(20)
    running = shop.request(
        image_id, audio_id, RenderOptions(seed=SLOW + 300), seconds=20
    )  # takes at least 20 s
    waiting = shop.request(image_id, shop.speech())
    shop.wait_for_frame(running)
    cancelled_at = time.time()
    shop.sessions.cancel(running)
    cancelled, following = shop.wait(running, "cancelled"), shop.wait(waiting, "ready")
    assert cancelled.failure is None
    assert cancelled.ended_at is not None
    assert following.started_at is not None
    assert following.started_at - cancelled_at < 5.0  # 0.2 s on an idle machine
    assert worker.child == child
    assert len(shop.videos()) == 1
    assert list((shop.settings.data_dir / "scratch").rglob("*.mp4")) == []


def test_waiting_session_never_starts(shop: Workshop, worker: WorkerProcess) -> None:
    image_id, audio_id = shop.source_image(), shop.speech()
    running = shop.request(image_id, audio_id, RenderOptions(seed=SLOW + 101))
    waiting = shop.request(image_id, audio_id, RenderOptions(seed=1))
    last = shop.request(image_id, audio_id, RenderOptions(seed=2))
    shop.wait_for_frame(running)
    shop.sessions.cancel(waiting)
    assert shop.session(waiting).state == "cancelled"
    shop.wait(last, "ready")
    assert shop.session(waiting).attempt == 0
    assert shop.queue.llen("normal") == 0


def test_rendering_continues_for_an_equal_request_that_was_not_cancelled(
    shop: Workshop, worker: WorkerProcess
) -> None:
    image_id, audio_id = shop.source_image(), shop.speech()
    first = shop.request(image_id, audio_id, RenderOptions(seed=SLOW + 102))
    shop.wait_for_frame(first)
    second = shop.request(image_id, audio_id, RenderOptions(seed=SLOW + 102))
    shop.sessions.cancel(first)
    session = shop.wait(second, "ready")
    assert shop.session(first).state == "cancelled"
    assert session.run_id == first
    assert session.attempt == 1


def test_deleting_an_avatar_ends_its_sessions_and_removes_everything(
    shop: Workshop, worker: WorkerProcess
) -> None:
    before = shop.files()
    image_id, audio_id = shop.source_image(seed=7), shop.speech(20, pitch=300)
    session_id = shop.request(image_id, audio_id, RenderOptions(seed=SLOW + 50), seconds=20)
    shop.wait_for_frame(session_id)
    assert shop.cached(f"*{image_id}*")
    video_service = VideoService(
        sessions=shop.sessions,
        avatars=shop.avatars,
        engines=shop.engines,
        statistics=Statistics(shop.queue),
        artefacts=shop.artefacts,
        cache=RedisCache(shop.cache),
        dispatch=shop.dispatch,
    )
    video_service.delete_avatar(image_id)
    shop.wait(session_id, "cancelled")
    wait_for(lambda: not shop.cached(f"*{image_id}*"), "the cache is empty", 20, shop.logs)
    assert [file for file in shop.files() if file not in before and "speech" not in file.parts] == []


def test_running_mesh_session_stops_and_the_warm_process_takes_the_next(shop: Workshop) -> None:
    worker = shop.ensure("vip,normal", "render")
    assert worker.stop() == 0
    mesh = shop.ensure("vip,normal", "mesh", engine="mesh")
    child = mesh.child
    image_id, audio_id = shop.real_source_image(), shop.real_speech()
    style = RenderOptions(preprocess="crop", size=256)
    running = shop.request(image_id, audio_id, style, seconds=10.4)
    waiting = shop.request(image_id, shop.speech(), style)
    shop.wait_for_frame(running)
    shop.sessions.cancel(running)
    shop.wait(running, "cancelled")
    shop.wait(waiting, "ready")
    assert mesh.child == child
    assert not shop.artefacts.exists(video_name(shop.session(running).result_key))
