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
from tests.support.workers import Cluster, WorkerProcess, open_cluster, wait_for

from sadtalker_service.options import RenderOptions

Opener = Callable[..., AbstractContextManager[Cluster]]

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
def cluster(
    servers: tuple[StoreServer, StoreServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Shared by many tests, because starting a worker takes two seconds."""
    limits = {"job_base_seconds": 5.0, "job_seconds_per_second": 1.0}
    with open_cluster(*servers, tmp_path_factory.mktemp("cluster"), **limits) as opened:
        yield opened


@pytest.fixture
def worker(cluster: Cluster) -> WorkerProcess:
    """A warm worker, shared by the tests that leave it alive."""
    return cluster.ensure("vip,normal,prepare", "render")


@pytest.fixture
def fresh(queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path) -> Opener:
    """Opens a separate cluster with other settings."""
    return partial(open_cluster, queue_server, cache_server, tmp_path)


@pytest.fixture
def wanted(cluster: Cluster, worker: WorkerProcess) -> tuple[str, str]:
    """Ids of a source image and of driven audio."""
    return cluster.source_image(), cluster.speech()


def slow(milliseconds: int = 200) -> RenderOptions:
    """Options that pause after each of the four batches of a one-second video. Each test needs its own."""
    return RenderOptions(seed=SLOW + milliseconds)


def test_killed_child_job_runs_again(
    cluster: Cluster, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    before = set(cluster.videos())
    session_id = cluster.request(*wanted, slow(201))
    waiting = cluster.request(*wanted)
    cluster.wait_for_frame(session_id)
    child = worker.child
    worker.kill_child()
    assert cluster.wait(session_id, "ready").attempt == 2
    assert cluster.wait(waiting, "ready").attempt == 1
    assert worker.child != child
    assert len(set(cluster.videos()) - before) == 2  # one per request


def test_a_job_that_kills_its_worker_fails_after_three_attempts(
    cluster: Cluster, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    poison = cluster.request(*wanted, RenderOptions(pose_style=DEADLY))
    harmless = cluster.request(*wanted, RenderOptions(seed=1))
    session = cluster.wait(poison, "failed")
    assert session.failure is not None
    assert (session.failure.code, session.attempt) == ("worker_lost", 3)
    assert "3 of 3 attempts" in session.failure.message
    assert cluster.sessions.dead() == (poison,)
    cluster.wait(harmless, "ready")
    assert worker.process.poll() is None


def test_a_defect_of_the_engine_fails_the_session_and_leaves_the_worker_warm(
    cluster: Cluster, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    child = worker.child
    session = cluster.wait(cluster.request(*wanted, RenderOptions(pose_style=DEFECT)), "failed")
    assert session.failure is not None
    assert (session.failure.code, session.attempt) == ("internal_error", 1)
    assert "a defect of the engine" not in session.failure.message
    assert "a defect of the engine" in worker.log
    cluster.wait(cluster.request(*wanted, RenderOptions(seed=2)), "ready")
    assert worker.child == child


def test_a_process_with_a_lost_device_is_replaced_and_its_job_restarted(
    cluster: Cluster, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    child = worker.child
    session = cluster.wait(cluster.request(*wanted, RenderOptions(pose_style=LOST)), "failed")
    assert session.failure is not None
    assert (session.failure.code, session.attempt) == ("worker_lost", 3)
    assert worker.log.count("engine_lost") == 3
    cluster.wait(cluster.request(*wanted, RenderOptions(seed=9)), "ready")
    assert worker.child != child
    assert worker.process.poll() is None


def test_a_job_that_hangs_is_ended_by_its_time_limit(
    cluster: Cluster, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    hanging = cluster.request(*wanted, RenderOptions(pose_style=HANGING))
    next_one = cluster.request(*wanted, RenderOptions(seed=3))
    session = cluster.wait(hanging, "failed")
    assert session.failure is not None
    assert (session.failure.code, session.attempt) == ("time_limit_exceeded", 1)
    cluster.wait(next_one, "ready")
    assert worker.process.poll() is None


def test_a_full_disk_fails_the_session_with_the_reason_and_leaves_no_file(
    cluster: Cluster, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    # a session ends a moment before its worker has removed the scratch file
    wait_for(lambda: not any("scratch" in path.parts for path in cluster.files()), "no scratch file is left")
    before = cluster.files()
    endless = resource.prlimit(worker.child, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.child, resource.RLIMIT_FSIZE, (2_000, endless[1]))
    session = cluster.wait(cluster.request(*wanted, RenderOptions(seed=4)), "failed")
    resource.prlimit(worker.child, resource.RLIMIT_FSIZE, endless)
    assert session.failure is not None
    assert (session.failure.code, session.failure.retryable) == ("output_error", True)
    wait_for(lambda: cluster.files() == before, "every file is removed", 10)
    cluster.wait(cluster.request(*wanted, RenderOptions(seed=4)), "ready")


def test_videos_are_made_without_the_cache_server(
    cluster: Cluster, servers: tuple[StoreServer, StoreServer], wanted: tuple[str, str]
) -> None:
    cluster.wait(cluster.request(*wanted, RenderOptions(seed=5)), "ready")
    _, cache = servers
    cache.kill()
    without = cluster.wait(cluster.request(*wanted, RenderOptions(seed=6)), "ready")
    assert without.outcome is not None
    assert {"face_mesh", "motion"} <= set(without.outcome.cache_misses)
    assert any("cache" in warning for warning in without.outcome.warnings)
    cache.start()
    seeds = itertools.count(100)

    def is_used_again() -> bool:
        """The server is tried again after a second, and then the first video fills it."""
        again = cluster.wait(cluster.request(*wanted, RenderOptions(seed=next(seeds))), "ready")
        return again.outcome is not None and {"face_mesh", "motion"} <= set(again.outcome.cache_hits)

    wait_for(is_used_again, "the cache is used again", ENOUGH, cluster.logs)


def test_killed_queue_server_loses_nothing(
    cluster: Cluster,
    servers: tuple[StoreServer, StoreServer],
    worker: WorkerProcess,
    wanted: tuple[str, str],
) -> None:
    before = set(cluster.videos())
    with cluster.janitor():
        running = cluster.request(*wanted, slow(500))
        waiting = [cluster.request(*wanted, RenderOptions(seed=seed)) for seed in range(10, 15)]
        cluster.wait_for_frame(running)
        time.sleep(1.1)  # accepted requests are on the disk after a second
        queue, _ = servers
        queue.kill()
        time.sleep(2.0)  # meanwhile the video is finished
        queue.start()
        assert cluster.wait(running, "ready").attempt == 1
        for session_id in waiting:
            cluster.wait(session_id, "ready")
    assert worker.process.poll() is None
    assert len(set(cluster.videos()) - before) == 6


def test_a_worker_that_could_not_acknowledge_a_message_continues(
    cluster: Cluster,
    servers: tuple[StoreServer, StoreServer],
    worker: WorkerProcess,
    wanted: tuple[str, str],
) -> None:
    session_id = cluster.request(*wanted, slow(206))
    cluster.wait_for_frame(session_id)
    os.kill(worker.process.pid, signal.SIGSTOP)  # the parent, which acknowledges messages
    cluster.wait(session_id, "ready")
    queue, _ = servers
    queue.kill()
    os.kill(worker.process.pid, signal.SIGCONT)
    wait_for(lambda: "Couldn't ack" in worker.log, "the acknowledgement fails", ENOUGH, cluster.logs)
    queue.start()
    cluster.wait(cluster.request(*wanted, RenderOptions(seed=15)), "ready")
    assert worker.process.poll() is None


def test_messages_that_the_broker_has_lost_are_sent_again(cluster: Cluster, wanted: tuple[str, str]) -> None:
    lost = [cluster.request(*wanted, RenderOptions(seed=seed), send=False) for seed in range(20, 23)]
    never_prepared = cluster.source_image(seed=3)  # without a message to a worker
    with cluster.janitor():
        for session_id in lost:
            cluster.wait(session_id, "ready")
        cluster.wait_for_avatar(never_prepared, "ready")


def test_avatar_is_prepared_before_its_previews(cluster: Cluster, worker: WorkerProcess) -> None:
    image_id = cluster.source_image(seed=4)
    cluster.dispatch.prepare(image_id, "full")
    avatar = cluster.wait_for_avatar(image_id, "ready")
    assert avatar.stages == ("face_detection", "face_mesh")
    assert avatar.face_box == (32.0, 24.0, 96.0, 72.0)
    assert avatar.seconds["face_mesh"] > 0
    wait_for(lambda: bool(cluster.cached(f"visemes:{image_id}:*")), "previews", ENOUGH, cluster.logs)


def test_source_image_without_a_face_fails_with_the_reason(cluster: Cluster, worker: WorkerProcess) -> None:
    image_id = cluster.source_image(brightest=5)
    cluster.dispatch.prepare(image_id, "full")
    avatar = cluster.wait_for_avatar(image_id, "failed")
    assert avatar.failure is not None
    assert (avatar.failure.code, avatar.failure.retryable) == ("no_face_found", False)


def test_a_source_image_that_kills_its_worker_is_given_up(cluster: Cluster, worker: WorkerProcess) -> None:
    poison, harmless = cluster.source_image(corner=DEADLY_PIXEL), cluster.source_image(seed=5)
    cluster.dispatch.prepare(poison, "full")

    def is_given_up() -> bool:
        for flight in cluster.cached(
            f"flight:*:{poison}:*"
        ):  # held by the dead worker; would expire after some seconds
            cluster.cache.delete(flight)
        return cluster.avatar(poison).state == "failed"

    wait_for(is_given_up, "the source image is given up", ENOUGH, cluster.logs)
    failure = cluster.avatar(poison).failure
    assert failure is not None
    assert failure.code == "worker_lost"
    cluster.dispatch.prepare(harmless, "full")
    cluster.wait_for_avatar(harmless, "ready")


def test_worker_finishes_its_job_after_sigterm_to_all_its_processes(
    cluster: Cluster, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    running, waiting = cluster.request(*wanted, slow(202)), cluster.request(*wanted, RenderOptions(seed=30))
    cluster.wait_for_frame(running)
    os.killpg(worker.process.pid, signal.SIGTERM)
    assert worker.process.wait(ENOUGH) == 0
    assert (cluster.session(running).state, cluster.session(running).attempt) == ("ready", 1)
    assert cluster.session(waiting).state == "queued"
    assert cluster.registry.live() == {}
    cluster.sessions.cancel(waiting)


def test_worker_restarted_with_its_name_restarts_its_job_at_once(
    cluster: Cluster, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    session_id = cluster.request(*wanted, slow(203))
    cluster.wait_for_frame(session_id)
    worker.kill()
    assert cluster.session(session_id).state == "generating"
    cluster.ensure("vip,normal,prepare", "render")  # without a janitor
    assert cluster.wait(session_id, "ready").attempt == 2


def test_a_second_sigterm_hands_the_job_back_at_once(
    cluster: Cluster, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    running, later = cluster.request(*wanted, slow(600)), cluster.request(*wanted, slow(1))
    cluster.wait_for_frame(running)
    worker.process.terminate()
    time.sleep(0.3)
    assert worker.stop() == 0  # long before the grace period of a minute ends
    assert cluster.session(running).state == "queued"
    assert cluster.sessions.waiting("standard") == (running, later)
    cluster.ensure("vip,normal,prepare", "render")
    first, second = cluster.wait(running, "ready"), cluster.wait(later, "ready")
    assert first.started_at is not None
    assert second.started_at is not None
    assert first.started_at < second.started_at


def test_a_worker_that_was_considered_dead_changes_nothing_when_it_resumes(
    cluster: Cluster, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    before = set(cluster.videos())
    cluster.ensure("vip", "other")  # all workers take restarted jobs
    session_id = cluster.request(*wanted, slow(204))
    cluster.wait_for_frame(session_id)
    processes = (worker.process.pid, worker.child)
    with cluster.janitor():
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        session = cluster.wait(session_id, "ready")
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: "job_stopped" in worker.log, "the sleeper stops", ENOUGH, cluster.logs)
    assert session.attempt == 2
    assert cluster.session(session_id) == session
    assert len(set(cluster.videos()) - before) == 1


def test_job_of_a_killed_worker_runs_again_on_another_one(
    cluster: Cluster, worker: WorkerProcess, wanted: tuple[str, str]
) -> None:
    before = set(cluster.videos())
    cluster.ensure("vip", "other")
    session_id = cluster.request(*wanted, slow(205))
    cluster.wait_for_frame(session_id)
    with cluster.janitor():
        worker.kill()
        assert cluster.wait(session_id, "ready").attempt == 2
    assert len(set(cluster.videos()) - before) == 1


def test_sigterm_hands_the_job_back_after_the_grace(
    fresh: Opener,
) -> None:
    with fresh(shutdown_grace_seconds=0.3) as cluster:
        worker = cluster.worker()
        session_id = cluster.request(cluster.source_image(), cluster.speech(), slow(700))
        cluster.wait_for_frame(session_id)
        assert worker.stop() == 0
        assert cluster.session(session_id).state == "queued"
        assert cluster.queue.llen("again") == 1
        assert cluster.sessions.begin(session_id, "another") is not None  # the first of three attempts


@pytest.mark.parametrize(("engine", "why"), [("broken", "no graphics card"), ("deadly", "died 3 times")])
def test_a_worker_whose_engine_cannot_run_exits_with_the_reason(fresh: Opener, engine: str, why: str) -> None:
    with fresh() as cluster:
        worker = cluster.worker(engine=engine, warm=False)
        assert worker.process.wait(ENOUGH) == 3
        assert "See its log." in worker.log
        assert why in worker.log


def test_video_of_a_killed_mesh_worker_is_made_again(
    fresh: Opener,
) -> None:
    with fresh() as cluster:
        worker = cluster.worker(engine="mesh")
        style = RenderOptions(preprocess="crop", size=256)
        session_id = cluster.request(cluster.real_source_image(), cluster.real_speech(), style, seconds=10.4)
        cluster.wait_for_frame(session_id)
        worker.kill_child()
        session = cluster.wait(session_id, "ready", seconds=120)
        assert session.attempt == 2
        assert session.outcome is not None
        assert session.outcome.frames == pytest.approx(10.42 * 25, abs=1)
        assert "face_mesh" in session.outcome.cache_hits  # prepared by the first attempt
        assert len(cluster.videos()) == 1
