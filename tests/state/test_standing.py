"""Queue positions, and estimates of when a video is ready."""

from __future__ import annotations

import pytest
import redis
from tests.support.jobs import OUTCOME, Clock, add_avatar, make_session

from sadtalker_service.settings import Settings
from sadtalker_service.state.records import Lane, QueuePosition, WorkerFacts
from sadtalker_service.state.registry import WorkerRegistry
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.statistics import Statistics

RATE = OUTCOME.total_seconds / OUTCOME.video_seconds


@pytest.fixture
def lanes(queue: redis.Redis, clock: Clock) -> SessionStore:
    """Long lanes; a standard session has its turn after two VIP sessions."""
    add_avatar(queue)
    return SessionStore(queue, Settings(max_waiting=200, vip_in_a_row=2), clock)


def fill(lanes: SessionStore, lane: Lane, count: int, seconds: float = 2.0) -> list[str]:
    """Accept `count` different sessions. Returns their ids."""
    names = [f"{lane}{number}" for number in range(count)]
    for name in names:
        lanes.accept(make_session(name, lane, key=name, seconds=seconds))
    return names


def work(queue: redis.Redis, workers: int = 1) -> None:
    """Store a measured rate and live workers."""
    Statistics(queue).job_done("first", "standard", "pattern", OUTCOME)
    for number in range(workers):
        WorkerRegistry(queue).beat(f"w{number}", WorkerFacts(("vip", "normal"), "pattern", "idle"))


def position(lanes: SessionStore, name: str) -> QueuePosition | None:
    """The queue position of a session; None if it does not wait."""
    status = lanes.read_status(name)
    return status[1] if status else None


def ahead(lanes: SessionStore, name: str) -> int:
    """Number of sessions served before."""
    queue_position = position(lanes, name)
    assert queue_position is not None
    return queue_position.ahead


def test_sessions_of_a_lane_are_served_in_order_of_acceptance(lanes: SessionStore) -> None:
    names = fill(lanes, "standard", 4)
    assert lanes.waiting("standard") == tuple(names)
    assert [ahead(lanes, name) for name in names] == [0, 1, 2, 3]
    lanes.cancel("standard1")
    assert [ahead(lanes, name) for name in ("standard2", "standard3")] == [1, 2]


def test_vip_sessions_come_first_but_not_forever(lanes: SessionStore) -> None:
    fill(lanes, "standard", 2)
    fill(lanes, "vip", 5)
    assert [ahead(lanes, f"vip{number}") for number in range(5)] == [0, 1, 3, 4, 6]
    assert [ahead(lanes, f"standard{number}") for number in range(2)] == [2, 5]


def test_follower_has_the_position_of_its_leader(lanes: SessionStore) -> None:
    fill(lanes, "standard", 3)
    lanes.accept(make_session("equal", key="standard2"))
    assert position(lanes, "equal") == position(lanes, "standard2")
    assert ahead(lanes, "equal") == 2


def test_only_waiting_sessions_have_a_position(lanes: SessionStore) -> None:
    fill(lanes, "standard", 1)
    lanes.accept(make_session("equal", key="standard0"))
    lanes.begin("standard0", "w1")
    assert position(lanes, "standard0") is None
    assert position(lanes, "equal") is None
    lanes.finish("standard0", 1, OUTCOME)
    assert position(lanes, "standard0") is None


def test_there_is_no_estimate_without_measurements(lanes: SessionStore, queue: redis.Redis) -> None:
    fill(lanes, "standard", 2)
    assert position(lanes, "standard1") == QueuePosition(1, None)
    Statistics(queue).job_done("first", "standard", "pattern", OUTCOME)
    assert position(lanes, "standard1") == QueuePosition(1, None)  # and there are no workers


def test_estimate_is_the_measured_work_ahead_per_live_worker(lanes: SessionStore, queue: redis.Redis) -> None:
    fill(lanes, "standard", 5, seconds=10.0)
    work(queue)
    job = RATE * 10.0
    queue_position = position(lanes, "standard4")
    assert queue_position is not None
    assert queue_position.eta_seconds == pytest.approx(5 * job)
    work(queue, workers=2)
    queue_position = position(lanes, "standard4")
    assert queue_position is not None
    assert queue_position.eta_seconds == pytest.approx(2 * job + job)


def test_running_work_counts_with_its_remaining_time(
    lanes: SessionStore, queue: redis.Redis, clock: Clock
) -> None:
    fill(lanes, "standard", 2, seconds=10.0)
    work(queue)
    lanes.begin("standard0", "w1")
    clock.advance(3)
    job = RATE * 10.0
    queue_position = position(lanes, "standard1")
    assert queue_position is not None
    assert queue_position == QueuePosition(0, pytest.approx(2 * job - 3))
    clock.advance(1000)
    late = position(lanes, "standard1")
    assert late is not None
    assert late.eta_seconds == pytest.approx(job)


def test_estimate_needs_the_rates_of_all_engines_ahead(lanes: SessionStore, queue: redis.Redis) -> None:
    fill(lanes, "standard", 2)
    queue.hset("lengths", "standard0", "2.0 another")
    work(queue)
    queue_position = position(lanes, "standard1")
    assert queue_position == QueuePosition(1, None)


def test_status_takes_one_round_trip(lanes: SessionStore, queue: redis.Redis) -> None:
    fill(lanes, "standard", 100)
    work(queue)
    lanes.read_status("standard99")

    def sent() -> int:
        calls = queue.info("commandstats")
        return sum(calls[name]["calls"] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in calls)

    before = sent()
    looked = lanes.read_status("standard99")
    assert sent() == before + 1
    assert looked is not None
    session, queue_position = looked
    assert session == lanes.get("standard99")
    assert queue_position == position(lanes, "standard99")
    assert queue_position is not None
    assert queue_position.ahead == 99
