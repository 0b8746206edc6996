"""Real workers are killed, stopped and starved: no job is lost, none runs twice, and all of them end."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from tests.support.pattern_engine import DEADLY, DEADLY_PIXEL, DEFECT, HANGING, LOST, SLOW
from tests.support.servers import StoreServer, cache_store, queue_store
from tests.support.workers import WorkerProcess, Workshop, open_workshop, wait_for

from sadtalker_service.options import RenderOptions

Opener = Callable[..., AbstractContextManager[Workshop]]

ENOUGH = 120.0
"""Seconds; more than any step takes on a busy machine."""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[StoreServer, StoreServer]]:
    """The queue server and the cache server."""
    queue, cache = queue_store(), cache_store()
    try:
        queue.start()
        cache.start()
        yield queue, cache
    finally:
        queue.remove()
        cache.remove()


@pytest.fixture(scope="module")
def shop(
    servers: tuple[StoreServer, StoreServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workshop]:
    """Shared by many tests, because starting a worker takes two seconds."""
    limits = {"job_base_seconds": 5.0, "job_seconds_per_second": 1.0}
    with open_workshop(*servers, tmp_path_factory.mktemp("shop"), **limits) as opened:
        yield opened


@pytest.fixture
def worker(shop: Workshop) -> WorkerProcess:
    """A warm worker, shared by the tests that leave it alive."""
    return shop.ensure("vip,normal,prepare", "render")


@pytest.fixture
def fresh(queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path) -> Opener:
    """Opens a separate cluster with other settings."""
    return partial(open_workshop, queue_server, cache_server, tmp_path)


@pytest.fixture
def wanted(shop: Workshop, worker: WorkerProcess) -> tuple[str, str]:
    """Ids of a source image and of driven audio."""
    return shop.source_image(), shop.speech()


def slow(milliseconds: int = 200) -> RenderOptions:
    """Options that pause after each of the four batches of a one-second video. Each test needs its own."""
    return RenderOptions(seed=SLOW + milliseconds)


def test_killed_child_job_runs_again(shop: Workshop, worker: WorkerProcess, wanted: tuple[str, str]) -> None:
    before = set(shop.videos())
    session_id = shop.request(*wanted, slow(201))
    waiting = shop.request(*wanted)
    shop.wait_for_frame(session_id)
    child = worker.child
    worker.kill_child()
    assert shop.wait(session_id, "ready").attempt == 2
    assert shop.wait(waiting, "ready").attempt == 1
    assert worker.child != child
    assert len(set(shop.videos()) - before) == 2  # one per request


def test_a_job_that_kills_its_worker_fails_after_three_attempts(
    shop: Workshop, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    poison = shop.request(*wanted, RenderOptions(pose_style=DEADLY))
    harmless = shop.request(*wanted, RenderOptions(seed=1))
    session = shop.wait(poison, "failed")
    assert session.failure is not None
    assert (session.failure.code, session.attempt) == ("worker_lost", 3)
    assert "3 times" in session.failure.message
    assert shop.sessions.dead() == (poison,)
    shop.wait(harmless, "ready")
    assert worker.process.poll() is None


def test_a_defect_of_the_engine_fails_the_session_and_leaves_the_worker_warm(
    shop: Workshop, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    child = worker.child
    session = shop.wait(shop.request(*wanted, RenderOptions(pose_style=DEFECT)), "failed")
    assert session.failure is not None
    assert (session.failure.code, session.attempt) == ("internal_error", 1)
    assert "a defect of the engine" not in session.failure.message
    assert "a defect of the engine" in worker.log
    shop.wait(shop.request(*wanted, RenderOptions(seed=2)), "ready")
    assert worker.child == child


def test_a_process_with_a_lost_device_is_replaced_and_its_job_restarted(
    shop: Workshop, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    child = worker.child
    session = shop.wait(shop.request(*wanted, RenderOptions(pose_style=LOST)), "failed")
    assert session.failure is not None
    assert (session.failure.code, session.attempt) == ("worker_lost", 3)
    assert worker.log.count("engine_lost") == 3
    shop.wait(shop.request(*wanted, RenderOptions(seed=9)), "ready")
    assert worker.child != child
    assert worker.process.poll() is None


def test_a_job_that_hangs_is_ended_by_its_time_limit(
    shop: Workshop, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    hanging = shop.request(*wanted, RenderOptions(pose_style=HANGING))
    next_one = shop.request(*wanted, RenderOptions(seed=3))
    session = shop.wait(hanging, "failed")
    assert session.failure is not None
    assert (session.failure.code, session.attempt) == ("time_limit_exceeded", 1)
    shop.wait(next_one, "ready")
    assert worker.process.poll() is None


def test_a_full_disk_fails_the_session_with_the_reason_and_leaves_no_file(
    shop: Workshop, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    before = shop.files()
    endless = resource.prlimit(worker.child, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.child, resource.RLIMIT_FSIZE, (2_000, endless[1]))
    session = shop.wait(shop.request(*wanted, RenderOptions(seed=4)), "failed")
    resource.prlimit(worker.child, resource.RLIMIT_FSIZE, endless)
    assert session.failure is not None
    assert (session.failure.code, session.failure.retryable) == ("output_error", True)
    assert shop.files() == before
    shop.wait(shop.request(*wanted, RenderOptions(seed=4)), "ready")


def test_videos_are_made_without_the_cache_server(
    shop: Workshop, servers: tuple[StoreServer, StoreServer], wanted: tuple[str, str]
) -> None:
    shop.wait(shop.request(*wanted, RenderOptions(seed=5)), "ready")
    _, cache = servers
    cache.kill()
    without = shop.wait(shop.request(*wanted, RenderOptions(seed=6)), "ready")
    assert without.outcome is not None
    assert {"face_mesh", "motion"} <= set(without.outcome.cache_misses)
    assert any("cache" in warning for warning in without.outcome.warnings)
    cache.start()
    seeds = itertools.count(100)

    def is_used_again() -> bool:
        """The server is tried again after a second, and then the first video fills it."""
        again = shop.wait(shop.request(*wanted, RenderOptions(seed=next(seeds))), "ready")
        return again.outcome is not None and {"face_mesh", "motion"} <= set(again.outcome.cache_hits)

    wait_for(is_used_again, "the cache is used again", ENOUGH, shop.logs)


def test_killed_queue_server_loses_nothing(
    shop: Workshop,
    servers: tuple[StoreServer, StoreServer],
    worker: WorkerProcess,
    wanted: tuple[str, str],
) -> None:
    before = set(shop.videos())
    with shop.janitor():
        running = shop.request(*wanted, slow(500))
        waiting = [shop.request(*wanted, RenderOptions(seed=seed)) for seed in range(10, 15)]
        shop.wait_for_frame(running)
        time.sleep(1.1)  # accepted requests are on the disk after a second
        queue, _ = servers
        queue.kill()
        time.sleep(2.0)  # meanwhile the video is finished
        queue.start()
        assert shop.wait(running, "ready").attempt == 1
        for session_id in waiting:
            shop.wait(session_id, "ready")
    assert worker.process.poll() is None
    assert len(set(shop.videos()) - before) == 6


def test_a_worker_that_could_not_acknowledge_a_message_continues(
    shop: Workshop,
    servers: tuple[StoreServer, StoreServer],
    worker: WorkerProcess,
    wanted: tuple[str, str],
) -> None:
    session_id = shop.request(*wanted, slow(206))
    shop.wait_for_frame(session_id)
    os.kill(worker.process.pid, signal.SIGSTOP)  # the parent, which acknowledges messages
    shop.wait(session_id, "ready")
    queue, _ = servers
    queue.kill()
    os.kill(worker.process.pid, signal.SIGCONT)
    wait_for(lambda: "Couldn't ack" in worker.log, "the acknowledgement fails", ENOUGH, shop.logs)
    queue.start()
    shop.wait(shop.request(*wanted, RenderOptions(seed=15)), "ready")
    assert worker.process.poll() is None


def test_messages_that_the_broker_has_lost_are_sent_again(shop: Workshop, wanted: tuple[str, str]) -> None:
    lost = [shop.request(*wanted, RenderOptions(seed=seed), send=False) for seed in range(20, 23)]
    never_prepared = shop.source_image(seed=3)  # without a message to a worker
    with shop.janitor():
        for session_id in lost:
            shop.wait(session_id, "ready")
        shop.wait_for_avatar(never_prepared, "ready")


def test_avatar_is_prepared_before_its_previews(shop: Workshop, worker: WorkerProcess) -> None:
    image_id = shop.source_image(seed=4)
    shop.dispatch.prepare(image_id, "full")
    avatar = shop.wait_for_avatar(image_id, "ready")
    assert avatar.stages == ("face_detection", "face_mesh")
    assert avatar.face_box == (32.0, 24.0, 96.0, 72.0)
    assert avatar.seconds["face_mesh"] > 0
    wait_for(lambda: bool(shop.cached(f"visemes:{image_id}:*")), "previews", ENOUGH, shop.logs)


def test_source_image_without_a_face_fails_with_the_reason(shop: Workshop, worker: WorkerProcess) -> None:
    image_id = shop.source_image(brightest=5)
    shop.dispatch.prepare(image_id, "full")
    avatar = shop.wait_for_avatar(image_id, "failed")
    assert avatar.failure is not None
    assert (avatar.failure.code, avatar.failure.retryable) == ("no_face_found", False)


def test_a_source_image_that_kills_its_worker_is_given_up(shop: Workshop, worker: WorkerProcess) -> None:
    poison, harmless = shop.source_image(corner=DEADLY_PIXEL), shop.source_image(seed=5)
    shop.dispatch.prepare(poison, "full")

    def is_given_up() -> bool:
        for flight in shop.cached(
            f"flight:*:{poison}:*"
        ):  # held by the dead worker; would expire after some seconds
            shop.cache.delete(flight)
        return shop.avatar(poison).state == "failed"

    wait_for(is_given_up, "the source image is given up", ENOUGH, shop.logs)
    failure = shop.avatar(poison).failure
    assert failure is not None
    assert failure.code == "worker_lost"
    shop.dispatch.prepare(harmless, "full")
    shop.wait_for_avatar(harmless, "ready")


def test_worker_finishes_its_job_after_sigterm_to_all_its_processes(
    shop: Workshop, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    running, waiting = shop.request(*wanted, slow(202)), shop.request(*wanted, RenderOptions(seed=30))
    shop.wait_for_frame(running)
    os.killpg(worker.process.pid, signal.SIGTERM)
    assert worker.process.wait(ENOUGH) == 0
    assert (shop.session(running).state, shop.session(running).attempt) == ("ready", 1)
    assert shop.session(waiting).state == "queued"
    assert shop.board.live() == {}
    shop.sessions.cancel(waiting)


def test_worker_restarted_with_its_name_restarts_its_job_at_once(
    shop: Workshop, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    session_id = shop.request(*wanted, slow(203))
    shop.wait_for_frame(session_id)
    worker.kill()
    assert shop.session(session_id).state == "generating"
    shop.ensure("vip,normal,prepare", "render")  # without a janitor
    assert shop.wait(session_id, "ready").attempt == 2


def test_a_second_sigterm_hands_the_job_back_at_once(
    shop: Workshop, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    running, later = shop.request(*wanted, slow(600)), shop.request(*wanted, slow(1))
    shop.wait_for_frame(running)
    worker.process.terminate()
    time.sleep(0.3)
    assert worker.stop() == 0  # long before the grace period of a minute ends
    assert shop.session(running).state == "queued"
    assert shop.sessions.waiting("standard") == (running, later)
    shop.ensure("vip,normal,prepare", "render")
    first, second = shop.wait(running, "ready"), shop.wait(later, "ready")
    assert first.started_at is not None
    assert second.started_at is not None
    assert first.started_at < second.started_at


def test_a_worker_that_was_considered_dead_changes_nothing_when_it_resumes(
    shop: Workshop, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    before = set(shop.videos())
    shop.ensure("vip", "other")  # all workers take restarted jobs
    session_id = shop.request(*wanted, slow(204))
    shop.wait_for_frame(session_id)
    processes = (worker.process.pid, worker.child)
    with shop.janitor():
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        session = shop.wait(session_id, "ready")
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: "job_stopped" in worker.log, "the sleeper stops", ENOUGH, shop.logs)
    assert session.attempt == 2
    assert shop.session(session_id) == session
    assert len(set(shop.videos()) - before) == 1


def test_job_of_a_killed_worker_runs_again_on_another_one(
    shop: Workshop, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    before = set(shop.videos())
    shop.ensure("vip", "other")
    session_id = shop.request(*wanted, slow(205))
    shop.wait_for_frame(session_id)
    with shop.janitor():
        worker.kill()
        assert shop.wait(session_id, "ready").attempt == 2
    assert len(set(shop.videos()) - before) == 1


def test_sigterm_hands_the_job_back_after_the_grace(
    fresh: Opener,
) -> None:
    with fresh(shutdown_grace_seconds=0.3) as shop:
        worker = shop.worker()
        session_id = shop.request(shop.source_image(), shop.speech(), slow(700))
        shop.wait_for_frame(session_id)
        assert worker.stop() == 0
        assert shop.session(session_id).state == "queued"
        assert shop.queue.llen("again") == 1
        assert shop.sessions.begin(session_id, "another") is not None  # the first of three attempts


@pytest.mark.parametrize(("engine", "why"), [("broken", "no graphics card"), ("deadly", "died 3 times")])
def test_a_worker_whose_engine_cannot_run_exits_with_the_reason(fresh: Opener, engine: str, why: str) -> None:
    with fresh() as shop:
        worker = shop.worker(engine=engine, warm=False)
        assert worker.process.wait(ENOUGH) == 3
        assert "See its log." in worker.log
        assert why in worker.log


def test_video_of_a_killed_mesh_worker_is_made_again(
    fresh: Opener,
) -> None:
    with fresh() as shop:
        worker = shop.worker(engine="mesh")
        style = RenderOptions(preprocess="crop", size=256)
        session_id = shop.request(shop.real_source_image(), shop.real_speech(), style, seconds=10.4)
        shop.wait_for_frame(session_id)
        worker.kill_child()
        session = shop.wait(session_id, "ready", seconds=120)
        assert session.attempt == 2
        assert session.outcome is not None
        assert session.outcome.frames == pytest.approx(10.42 * 25, abs=1)
        assert "face_mesh" in session.outcome.cache_hits  # prepared by the first attempt
        assert len(shop.videos()) == 1
