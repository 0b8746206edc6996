"""Real workers that are killed, stopped and starved: no job is lost, none is done twice, all of them end."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.pattern_engine import DEADLY, DEADLY_PIXEL, DEFECT, HANGING, SLOW
from tests.support.servers import StoreServer
from tests.support.workers import Workshop, open_workshop, wait_for

from sadtalker_service.domain import Style

ENOUGH = 60.0
"""Seconds: more than anything here takes on a busy machine."""


@pytest.fixture
def workshop(queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path) -> Iterator[Workshop]:
    with open_workshop(queue_server, cache_server, tmp_path) as opened:
        yield opened


def slow(milliseconds: int = 200) -> Style:
    """A video of a second has three batches."""
    return Style(seed=SLOW + milliseconds)


def test_killed_child_job_runs_again(workshop: Workshop) -> None:
    worker = workshop.worker()
    image_id, audio_id = workshop.portrait(), workshop.speech()
    session_id = workshop.request(image_id, audio_id, slow())
    waiting = workshop.request(image_id, audio_id)
    workshop.wait_for_frame(session_id)
    child = worker.child
    worker.kill_child()
    session = workshop.wait(session_id, "ready")
    assert session.attempt == 2
    workshop.wait(waiting, "ready")
    assert worker.child != child
    assert len(workshop.videos()) == 2  # one for each request


def test_killed_worker_job_runs_again_on_another_one(workshop: Workshop) -> None:
    first = workshop.worker("normal", "first")
    workshop.worker("vip", "second")  # jobs that are run again are for all
    session_id = workshop.request(workshop.portrait(), workshop.speech(), slow())
    workshop.wait_for_frame(session_id)
    with workshop.janitor():
        first.kill()
        session = workshop.wait(session_id, "ready")
    assert session.attempt == 2
    assert len(workshop.videos()) == 1


def test_worker_that_comes_back_under_its_name_begins_its_job_again_at_once(workshop: Workshop) -> None:
    worker = workshop.worker()
    session_id = workshop.request(workshop.portrait(), workshop.speech(), slow())
    workshop.wait_for_frame(session_id)
    worker.kill()
    workshop.worker()  # and no janitor
    assert workshop.wait(session_id, "ready").attempt == 2


def test_a_job_that_kills_its_worker_fails_after_three_attempts(workshop: Workshop) -> None:
    worker = workshop.worker()
    image_id, audio_id = workshop.portrait(), workshop.speech()
    poison = workshop.request(image_id, audio_id, Style(pose_style=DEADLY))
    harmless = workshop.request(image_id, audio_id)
    session = workshop.wait(poison, "failed")
    assert session.failure is not None
    assert (session.failure.code, session.attempt) == ("worker_lost", 3)
    assert "3 times" in session.failure.message
    assert workshop.sessions.dead() == (poison,)
    workshop.wait(harmless, "ready")
    assert worker.process.poll() is None


def test_a_defect_of_the_engine_fails_the_session_and_leaves_the_worker_warm(workshop: Workshop) -> None:
    worker = workshop.worker()
    child = worker.child
    image_id, audio_id = workshop.portrait(), workshop.speech()
    session = workshop.wait(workshop.request(image_id, audio_id, Style(pose_style=DEFECT)), "failed")
    assert session.failure is not None
    assert (session.failure.code, session.attempt) == ("internal_error", 1)
    assert "a defect of the engine" not in session.failure.message
    assert "a defect of the engine" in worker.log
    workshop.wait(workshop.request(image_id, audio_id), "ready")
    assert worker.child == child


def test_a_job_that_hangs_is_ended_by_its_time_limit(
    queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path
) -> None:
    limits = {"job_base_seconds": 2.0, "job_seconds_per_second": 1.0}
    with open_workshop(queue_server, cache_server, tmp_path, **limits) as workshop:
        workshop.worker()
        image_id, audio_id = workshop.portrait(), workshop.speech()
        hanging = workshop.request(image_id, audio_id, Style(pose_style=HANGING))
        next_one = workshop.request(image_id, audio_id)
        session = workshop.wait(hanging, "failed")
        assert session.failure is not None
        assert (session.failure.code, session.attempt) == ("time_limit_exceeded", 1)
        workshop.wait(next_one, "ready")


def test_sigterm_lets_the_job_finish_and_takes_no_other(workshop: Workshop) -> None:
    worker = workshop.worker()
    image_id, audio_id = workshop.portrait(), workshop.speech()
    running = workshop.request(image_id, audio_id, slow())
    waiting = workshop.request(image_id, audio_id)
    workshop.wait_for_frame(running)
    assert worker.stop() == 0
    assert workshop.session(running).state == "ready"
    assert workshop.session(waiting).state == "queued"
    assert workshop.board.live() == {}
    workshop.worker()
    workshop.wait(waiting, "ready")


def test_sigterm_hands_the_job_back_after_the_grace(
    queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path
) -> None:
    with open_workshop(queue_server, cache_server, tmp_path, shutdown_grace_seconds=0.3) as workshop:
        worker = workshop.worker()
        image_id, audio_id = workshop.portrait(), workshop.speech()
        session_id = workshop.request(image_id, audio_id, slow(700))
        later = workshop.request(image_id, audio_id, slow(1))
        workshop.wait_for_frame(session_id)
        assert worker.stop() == 0
        handed_back = workshop.session(session_id)
        assert handed_back.state == "queued"
        assert workshop.sessions.waiting("standard") == (session_id, later)
        workshop.worker()
        assert workshop.wait(session_id, "ready").started_at < workshop.wait(later, "ready").started_at
        assert workshop.sessions.dead() == ()


def test_a_second_sigterm_hands_the_job_back_at_once(workshop: Workshop) -> None:
    worker = workshop.worker()
    session_id = workshop.request(workshop.portrait(), workshop.speech(seconds=8), slow(400), seconds=8)
    workshop.wait_for_frame(session_id)
    worker.process.terminate()
    time.sleep(0.3)
    assert worker.stop() == 0  # long before the grace of a minute, or the eight seconds of the job, are over
    assert workshop.session(session_id).state == "queued"


def test_sigterm_to_all_processes_of_a_worker_lets_the_job_finish_too(workshop: Workshop) -> None:
    worker = workshop.worker()
    session_id = workshop.request(workshop.portrait(), workshop.speech(), slow())
    workshop.wait_for_frame(session_id)
    os.killpg(worker.process.pid, signal.SIGTERM)
    assert worker.process.wait(ENOUGH) == 0
    assert (workshop.session(session_id).state, workshop.session(session_id).attempt) == ("ready", 1)


def test_a_worker_that_was_thought_dead_changes_nothing_when_it_wakes(workshop: Workshop) -> None:
    sleeper = workshop.worker("normal", "sleeper")
    workshop.worker("vip", "other")
    session_id = workshop.request(workshop.portrait(), workshop.speech(), slow())
    workshop.wait_for_frame(session_id)
    processes = (sleeper.process.pid, sleeper.child)
    with workshop.janitor():
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        session = workshop.wait(session_id, "ready")
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: "job_stopped" in sleeper.log, "the sleeper stops", ENOUGH, workshop.logs)
    assert session.attempt == 2
    assert '"reason": "lost"' in sleeper.log
    assert workshop.session(session_id) == session
    assert len(workshop.videos()) == 1


def test_killed_queue_server_loses_nothing(workshop: Workshop, queue_server: StoreServer) -> None:
    worker = workshop.worker()
    image_id, audio_id = workshop.portrait(), workshop.speech()
    with workshop.janitor():
        running = workshop.request(image_id, audio_id, slow(500))
        waiting = [workshop.request(image_id, audio_id, Style(seed=seed)) for seed in range(5)]
        workshop.wait_for_frame(running)
        time.sleep(1.1)  # what was accepted is on the disk after a second
        queue_server.kill()
        time.sleep(1.0)
        queue_server.start()
        assert workshop.wait(running, "ready").attempt == 1
        for session_id in waiting:
            workshop.wait(session_id, "ready")
    assert worker.process.poll() is None
    assert len(workshop.videos()) == 6


def test_without_the_cache_server_videos_are_made_all_the_same(
    workshop: Workshop, cache_server: StoreServer
) -> None:
    workshop.worker()
    image_id, audio_id = workshop.portrait(), workshop.speech()
    workshop.wait(workshop.request(image_id, audio_id), "ready")
    cache_server.kill()
    without = workshop.wait(workshop.request(image_id, audio_id, Style(seed=1)), "ready")
    assert without.outcome is not None
    assert {"face_mesh", "motion"} <= set(without.outcome.cache_misses)
    assert any("cache" in warning for warning in without.outcome.warnings)
    cache_server.start()
    time.sleep(1.1)  # a cache that was away is asked again after a second
    workshop.wait(workshop.request(image_id, audio_id, Style(seed=2)), "ready")
    again = workshop.wait(workshop.request(image_id, audio_id, Style(seed=3)), "ready")
    assert again.outcome is not None
    assert {"face_mesh", "motion"} <= set(again.outcome.cache_hits)


def test_a_full_disk_fails_the_session_with_its_reason_and_nothing_is_left(workshop: Workshop) -> None:
    worker = workshop.worker()
    image_id, audio_id = workshop.portrait(), workshop.speech()
    endless = resource.prlimit(worker.child, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.child, resource.RLIMIT_FSIZE, (2_000, endless[1]))
    session = workshop.wait(workshop.request(image_id, audio_id), "failed")
    assert session.failure is not None
    assert (session.failure.code, session.failure.retryable) == ("output_error", True)
    assert workshop.videos() == []
    assert [path for path in (workshop.folder / "data").rglob("*") if ".mp4" in path.name] == []
    resource.prlimit(worker.child, resource.RLIMIT_FSIZE, endless)
    workshop.wait(workshop.request(image_id, audio_id), "ready")


def test_messages_that_the_broker_has_lost_are_sent_again(workshop: Workshop) -> None:
    workshop.worker("normal")  # takes no VIP jobs, but tells which engine there is
    image_id, audio_id = workshop.portrait(), workshop.speech()
    lost = [workshop.request(image_id, audio_id, Style(seed=seed), lane="vip") for seed in range(3)]
    workshop.queue.delete("vip")
    with workshop.janitor():
        workshop.worker("vip", "vip-worker")
        for session_id in lost:
            workshop.wait(session_id, "ready")


def test_avatar_is_prepared_and_its_previews_after_it(workshop: Workshop) -> None:
    workshop.worker("prepare")
    image_id = workshop.portrait()
    workshop.dispatch.prepare(image_id, "full")
    avatar = workshop.wait_for_avatar(image_id, "ready")
    assert avatar.stages == ("face_detection", "face_mesh")
    assert avatar.face_box == (32.0, 24.0, 96.0, 72.0)
    assert avatar.seconds["face_mesh"] > 0
    wait_for(lambda: bool(workshop.cached(f"visemes:{image_id}:*")), "previews", ENOUGH, workshop.logs)


def test_portrait_without_a_face_fails_with_its_reason(workshop: Workshop) -> None:
    workshop.worker("prepare")
    image_id = workshop.portrait(brightest=5)
    workshop.dispatch.prepare(image_id, "full")
    avatar = workshop.wait_for_avatar(image_id, "failed")
    assert avatar.failure is not None
    assert (avatar.failure.code, avatar.failure.retryable) == ("no_face_found", False)


def test_a_portrait_that_kills_its_worker_is_given_up(workshop: Workshop) -> None:
    workshop.worker("prepare")
    poison, harmless = workshop.portrait(corner=DEADLY_PIXEL), workshop.portrait(seed=2)
    workshop.dispatch.prepare(poison, "full")
    avatar = workshop.wait_for_avatar(poison, "failed")
    assert avatar.failure is not None
    assert avatar.failure.code == "worker_lost"
    workshop.dispatch.prepare(harmless, "full")
    workshop.wait_for_avatar(harmless, "ready")


def test_a_lost_preparation_is_begun_again(workshop: Workshop) -> None:
    image_id = workshop.portrait()  # no message was ever sent
    workshop.worker("prepare")
    with workshop.janitor():
        workshop.wait_for_avatar(image_id, "ready")


def test_a_worker_without_its_engine_ends_and_says_why(workshop: Workshop) -> None:
    worker = workshop.worker(engine="none", warm=False)
    assert worker.process.wait(ENOUGH) == 3
    assert "There is no engine called 'none'" in worker.log
    broken = workshop.worker(name="broken", engine="broken", warm=False)
    assert broken.process.wait(ENOUGH) == 3
    assert "its log says why" in broken.log
    assert "no graphics card" in broken.log


def test_killed_mesh_worker_makes_the_video_again(workshop: Workshop) -> None:
    worker = workshop.worker(engine="mesh")
    image_id, audio_id = workshop.real_portrait(), workshop.real_speech()
    session_id = workshop.request(image_id, audio_id, Style(preprocess="crop", size=256), seconds=5)
    workshop.wait_for_frame(session_id)
    worker.kill_child()
    session = workshop.wait(session_id, "ready", seconds=120)
    assert session.attempt == 2
    assert session.outcome is not None
    assert session.outcome.frames > 25
    assert "face_mesh" in session.outcome.cache_hits  # what the first attempt had prepared
    assert len(workshop.videos()) == 1
