"""Equal requests share one piece of work, whatever happens to their leader."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from tests.support.jobs import KEY, OUTCOME, Clock, make_session

from sadtalker_service.domain import Progress
from sadtalker_service.errors import LaneFull
from sadtalker_service.state.records import Failure, Lane, Session
from sadtalker_service.state.sessions import SessionStore

DISK_FULL = Failure("output_error", "No space is left.", retryable=True)


def add(sessions: SessionStore, *names: str, lane: Lane = "standard") -> None:
    """Accept equal sessions."""
    for name in names:
        sessions.accept(make_session(name, lane))


def get(sessions: SessionStore, name: str) -> Session:
    """A session that exists."""
    session = sessions.get(name)
    assert session is not None
    return session


def states(sessions: SessionStore, *names: str) -> list[str]:
    """The states of several sessions."""
    return [get(sessions, name).state for name in names]


def unsent(sessions: SessionStore) -> list[str]:
    """Ids of sessions that need a ticket."""
    return [session.session_id for session in sessions.unsent()]


def test_follower_shows_its_leaders_progress_and_is_ready_with_it(sessions: SessionStore) -> None:
    add(sessions, "first", "second")
    assert get(sessions, "second").leader == "first"
    assert sessions.waiting("standard") == ("first",)
    assert sessions.begin("second", "w1") is None
    sessions.begin("first", "w1")
    sessions.move("first", 1, Progress("render", 3, 10))
    shown = get(sessions, "second")
    assert (shown.state, shown.attempt, shown.moment) == ("generating", 1, Progress("render", 3, 10))
    assert shown.run_id == "first"
    assert sessions.finish("first", 1, OUTCOME)
    ready = get(sessions, "second")
    assert (ready.state, ready.outcome, ready.reused) == ("ready", OUTCOME, False)
    assert (ready.run_id, ready.attempt) == ("first", 1)


def test_followers_occupy_no_place_in_the_lane_but_are_limited(sessions: SessionStore) -> None:
    add(sessions, "first", "f1", "f2", "f3")
    with pytest.raises(LaneFull):
        sessions.accept(make_session("f4"))
    assert sessions.get("f4") is None
    assert len(sessions.waiting("standard")) == 1


def test_two_equal_requests_at_once_have_one_leader(sessions: SessionStore) -> None:
    for number in range(20):
        key = f"{number:064d}"
        pair = [make_session(f"{number}{side}", key=key) for side in "ab"]
        with ThreadPoolExecutor(2) as pool:
            accepted = list(pool.map(sessions.accept, pair))
        (leader,) = [session for session in accepted if session.leader is None]
        (waiter,) = [session for session in accepted if session.leader is not None]
        assert waiter.leader == leader.session_id
        sessions.cancel(waiter.session_id)
        sessions.cancel(leader.session_id)


def test_followers_fail_with_a_leader_if_they_would_fail_too(sessions: SessionStore) -> None:
    add(sessions, "first", "second")
    sessions.begin("first", "w1")
    failure = Failure("no_face_found", "No face was found.")
    assert sessions.fail("first", 1, failure)
    assert get(sessions, "second").failure == failure
    assert unsent(sessions) == []


def test_first_follower_retries_after_a_temporary_failure(sessions: SessionStore) -> None:
    add(sessions, "first", "second", "third")
    sessions.begin("first", "w1")
    assert sessions.fail("first", 1, DISK_FULL)
    assert states(sessions, "first", "second", "third") == ["failed", "queued", "queued"]
    assert get(sessions, "second").leader is None
    assert get(sessions, "third").leader == "second"
    assert unsent(sessions) == ["second"]
    again = sessions.begin("second", "w1")
    assert again is not None
    assert not sessions.renew("first", 1)
    assert sessions.finish("second", again.attempt, OUTCOME)
    assert states(sessions, "first", "second", "third") == ["failed", "ready", "ready"]


def test_followers_of_a_session_that_kills_workers_fail_too(sessions: SessionStore, clock: Clock) -> None:
    add(sessions, "first", "second")
    for _ in range(3):
        sessions.begin("first", "w1")
        clock.advance(16)
        sessions.requeue("first")
    assert states(sessions, "first", "second") == ["failed", "failed"]
    failure = get(sessions, "second").failure
    assert failure is not None
    assert failure.code == "worker_lost"
    assert sessions.dead() == ("first",)


def test_cancelled_follower_does_not_stop_the_work(sessions: SessionStore) -> None:
    add(sessions, "first", "second")
    sessions.begin("first", "w1")
    sessions.cancel("second")
    assert states(sessions, "first", "second") == ["generating", "cancelled"]
    assert not sessions.is_cancelled("first")
    assert sessions.finish("first", 1, OUTCOME)
    assert states(sessions, "first", "second") == ["ready", "cancelled"]


def test_first_follower_replaces_a_cancelled_queued_leader(sessions: SessionStore) -> None:
    add(sessions, "first", "second", "third")
    sessions.cancel("first")
    assert states(sessions, "first", "second") == ["cancelled", "queued"]
    assert sessions.waiting("standard") == ("second",)
    assert get(sessions, "third").leader == "second"
    assert unsent(sessions) == ["second"]
    assert sessions.accept(make_session("fourth")).leader == "second"


def test_follower_of_a_cancelled_vip_waits_in_its_own_lane(sessions: SessionStore) -> None:
    add(sessions, "vip", lane="vip")
    add(sessions, "normal")
    assert get(sessions, "normal").leader == "vip"
    sessions.cancel("vip")
    assert sessions.waiting("vip") == ()
    assert sessions.waiting("standard") == ("normal",)


def test_vip_follower_takes_over_before_earlier_standard_followers(sessions: SessionStore) -> None:
    add(sessions, "leader", lane="vip")
    add(sessions, "normal")
    add(sessions, "vip", lane="vip")
    sessions.cancel("leader")
    assert sessions.waiting("vip") == ("vip",)
    assert get(sessions, "normal").leader == "vip"


def test_running_work_continues_for_a_follower_of_a_cancelled_leader(sessions: SessionStore) -> None:
    add(sessions, "first", "second", "third")
    sessions.begin("first", "w1")
    sessions.move("first", 1, Progress("render", 3, 10))
    cancelled = sessions.cancel("first")
    assert cancelled is not None
    assert cancelled.state == "cancelled"
    successor = get(sessions, "second")
    assert (successor.state, successor.leader, successor.attempt) == ("generating", None, 1)
    assert (successor.run_id, successor.moment) == ("first", Progress("render", 3, 10))
    assert get(sessions, "third").run_id == "first"

    assert not sessions.is_cancelled("first")
    assert sessions.renew("first", 1)
    assert sessions.move("first", 1, Progress("render", 5, 10))
    assert get(sessions, "third").moment == Progress("render", 5, 10)
    assert sessions.finish("first", 1, OUTCOME)
    assert sessions.finish("first", 1, OUTCOME)  # a repeat
    assert states(sessions, "first", "second", "third") == ["cancelled", "ready", "ready"]


def test_transferred_work_stops_when_its_last_follower_is_cancelled(
    sessions: SessionStore,
) -> None:
    add(sessions, "first", "second")
    sessions.begin("first", "w1")
    sessions.cancel("first")
    sessions.cancel("second")
    assert sessions.is_cancelled("first")
    assert sessions.fail("first", 1, Failure("cancelled", "stopped"))
    assert states(sessions, "first", "second") == ["cancelled", "cancelled"]


def test_successor_of_a_lost_run_restarts_under_its_own_name(sessions: SessionStore, clock: Clock) -> None:
    add(sessions, "first", "second")
    sessions.begin("first", "w1")
    sessions.cancel("first")
    clock.advance(16)
    assert sessions.requeue("second") is not None
    assert not sessions.renew("first", 1)
    begun = sessions.begin("second", "w2")
    assert begun is not None
    assert (begun.run_id, begun.attempt) == ("second", 1)
    assert not sessions.finish("first", 1, OUTCOME)
    assert sessions.finish("second", 1, OUTCOME)


def test_starts_of_a_transferred_run_count_for_the_successor(sessions: SessionStore, clock: Clock) -> None:
    add(sessions, "first", "second")
    for _ in range(2):
        sessions.begin("first", "w1")
        clock.advance(16)
        sessions.requeue("first")
    sessions.begin("first", "w1")
    sessions.cancel("first")
    clock.advance(16)
    assert sessions.requeue("second") is None
    assert states(sessions, "first", "second") == ["cancelled", "failed"]


def test_old_run_of_a_successor_stays_invalid_when_numbers_coincide(
    sessions: SessionStore, clock: Clock
) -> None:
    """A session ran itself, then followed another, then took over a run with the number of its own."""
    add(sessions, "normal")
    for _ in range(2):  # the runs (normal, 1) and (normal, 2), which never report again
        sessions.begin("normal", "w1")
        clock.advance(16)
        sessions.requeue("normal")
    add(sessions, "vip", lane="vip")  # it leads itself, because the standard lane is slower
    assert get(sessions, "vip").leader is None
    sessions.begin("vip", "w2")
    assert sessions.begin("normal", "w3") is None  # it follows the run (vip, 1)
    sessions.cancel("vip")
    successor = get(sessions, "normal")
    assert (successor.state, successor.attempt, successor.run_id) == ("generating", 1, "vip")
    for attempt in (1, 2):
        assert not sessions.renew("normal", attempt)
        assert not sessions.finish("normal", attempt, OUTCOME)
    assert sessions.renew("vip", 1)
    sessions.hand_back("vip", 1)
    begun = sessions.begin("normal", "w3")
    assert begun is not None
    assert begun.attempt == 3  # not a number that was used before


def test_vip_request_overtakes_an_equal_queued_standard_one(sessions: SessionStore) -> None:
    add(sessions, "normal")
    add(sessions, "vip", lane="vip")
    assert get(sessions, "vip").leader is None
    assert (sessions.waiting("vip"), sessions.waiting("standard")) == (("vip",), ("normal",))
    sessions.begin("vip", "w1")
    sessions.finish("vip", 1, OUTCOME)
    assert get(sessions, "normal").state == "queued"
    assert sessions.begin("normal", "w1") is None
    ready = get(sessions, "normal")
    assert (ready.state, ready.reused, ready.outcome, ready.attempt) == ("ready", True, OUTCOME, 0)


@pytest.mark.parametrize(("one", "other"), [("vip", "normal"), ("normal", "vip")])
def test_slower_of_two_equal_leaders_follows_the_running_one(
    sessions: SessionStore, one: str, other: str
) -> None:
    add(sessions, "normal", "behind")
    add(sessions, "vip", lane="vip")
    sessions.begin(one, "w1")
    assert sessions.begin(other, "w2") is None
    assert (get(sessions, other).leader, get(sessions, "behind").leader) == (one, one)
    assert states(sessions, "normal", "vip", "behind") == ["generating"] * 3
    assert sessions.waiting("vip") == sessions.waiting("standard") == ()
    assert sessions.finish(one, 1, OUTCOME)
    assert states(sessions, "normal", "vip", "behind") == ["ready"] * 3


def test_vip_follower_leads_if_its_standard_leader_is_queued_again(
    sessions: SessionStore, clock: Clock
) -> None:
    add(sessions, "normal")
    sessions.begin("normal", "w1")
    add(sessions, "vip", lane="vip")
    assert get(sessions, "vip").leader == "normal"
    clock.advance(16)
    front = sessions.requeue("normal")
    assert front is not None
    assert (front.session_id, front.lane) == ("vip", "vip")
    assert get(sessions, "normal").leader == "vip"
    assert sessions.waiting("standard") == ()
    assert not sessions.finish("normal", 1, OUTCOME)
    begun = sessions.begin("vip", "w2")
    assert begun is not None
    assert sessions.finish("vip", begun.attempt, OUTCOME)
    assert states(sessions, "normal", "vip") == ["ready", "ready"]


def test_change_of_leader_gives_no_additional_starts(sessions: SessionStore, clock: Clock) -> None:
    add(sessions, "normal")
    sessions.begin("normal", "w1")
    add(sessions, "vip", lane="vip")
    for name in ("normal", "vip"):
        clock.advance(16)
        assert sessions.requeue(name) is not None
        assert sessions.begin("vip", "w1") is not None
    clock.advance(16)
    assert sessions.requeue("vip") is None
    assert states(sessions, "normal", "vip") == ["failed", "failed"]


def test_handed_back_leader_keeps_its_followers(sessions: SessionStore) -> None:
    add(sessions, "first", "second")
    sessions.begin("first", "w1")
    sessions.hand_back("first", 1)
    assert states(sessions, "first", "second") == ["queued", "queued"]
    assert unsent(sessions) == ["first"]
    begun = sessions.begin("first", "w2")
    assert begun is not None
    sessions.finish("first", begun.attempt, OUTCOME)
    assert states(sessions, "first", "second") == ["ready", "ready"]


def test_promoted_follower_gets_an_event_that_it_waits_again(
    sessions: SessionStore, queue: redis.Redis
) -> None:
    add(sessions, "first", "second")
    sessions.begin("first", "w1")
    sessions.fail("first", 1, DISK_FULL)
    events = [fields[b"data"].decode() for _, fields in queue.xrange("events:second")]
    assert '"state":"generating"' in events[-2]
    assert '"state":"queued"' in events[-1]


def test_worker_that_stops_unasked_leaves_the_work_to_followers(
    sessions: SessionStore, queue: redis.Redis
) -> None:
    add(sessions, "first", "second")
    sessions.begin("first", "w1")
    sessions.fail("first", 1, Failure("cancelled", "stopped"))
    assert states(sessions, "first", "second") == ["cancelled", "queued"]
    assert unsent(sessions) == ["second"]
    last = queue.xrevrange("events:second", count=1)[0][1][b"data"].decode()
    assert '"state":"queued"' in last


def test_known_video_of_a_leader_is_ready_for_all(sessions: SessionStore) -> None:
    add(sessions, "normal", "behind")
    add(sessions, "vip", lane="vip")
    sessions.begin("vip", "w1")
    sessions.finish("vip", 1, OUTCOME)
    assert sessions.begin("normal", "w1") is None
    assert states(sessions, "normal", "behind") == ["ready", "ready"]
    assert sessions.known_result(KEY) is not None
