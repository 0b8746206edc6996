"""One session from its acceptance to its end, with everything that can happen in between."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import redis
from tests.support.jobs import KEY, OUTCOME, Clock, add_avatar, make_session
from tests.support.workers import wait_for

from sadtalker_service.domain import Progress
from sadtalker_service.errors import LaneFull, NotFound
from sadtalker_service.settings import Settings
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.records import Failure, Session
from sadtalker_service.state.session_replies import LaneLoad
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.statistics import Statistics


def begin(sessions: SessionStore, session_id: str, worker: str = "w1") -> Session:
    """The started session."""
    session = sessions.begin(session_id, worker)
    assert session is not None
    return session


def state(sessions: SessionStore, session_id: str) -> str:
    """The state of an existing session."""
    session = sessions.get(session_id)
    assert session is not None
    return session.state


def test_session_goes_from_queued_to_generating_to_ready(sessions: SessionStore, clock: Clock) -> None:
    accepted = sessions.accept(make_session("one", "vip", at=clock()))
    assert accepted == make_session("one", "vip", at=clock())
    assert sessions.waiting("vip") == ("one",)

    clock.advance(2)
    begun = begin(sessions, "one")
    assert (begun.state, begun.attempt, begun.started_at) == ("generating", 1, clock())
    assert sessions.waiting("vip") == ()
    assert sessions.running() == ("one",)

    moment = Progress("render", 10, 50, 24.5, 1.6)
    assert sessions.move("one", 1, moment)
    moved = sessions.get("one")
    assert moved is not None
    assert moved.moment == moment

    clock.advance(3)
    assert sessions.finish("one", 1, OUTCOME)
    ready = sessions.get("one")
    assert ready is not None
    assert (ready.state, ready.outcome, ready.ended_at) == ("ready", OUTCOME, clock())
    assert ready.started_at == clock() - 3
    assert not ready.reused
    known = sessions.known_result(KEY)
    assert known is not None
    assert (known.outcome, known.created_at) == (OUTCOME, clock())


def test_all_fields_of_a_request_are_stored(sessions: SessionStore) -> None:
    given = Session(
        session_id="one",
        lane="standard",
        spec=make_session("x").spec,
        result_key=KEY,
        queued_at=1_700_000_000.123456,
        warnings=("enhancer gfpgan was not applied",),
        settings={"still": True, "name": "Zoë 😀", "seed": 9_007_199_254_740_993},
        callback_url="https://example.com/hook",
        user_data='{"a": [1, null]}',
        request_id="r-1",
    )
    assert sessions.accept(given) == given
    assert sessions.get("one") == given


def test_video_of_a_version_without_engine_names_is_known(sessions: SessionStore, queue: redis.Redis) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one")
    assert sessions.finish("one", 1, OUTCOME)
    for key in ("session:one", f"result:{KEY}"):
        kept = json.loads(queue.hget(key, "outcome") or "")
        assert kept.pop("engine") == OUTCOME.engine
        queue.hset(key, "outcome", json.dumps(kept))
    read, known, again = sessions.get("one"), sessions.known_result(KEY), sessions.accept(make_session("two"))
    assert read is not None
    assert known is not None
    expected = replace(OUTCOME, engine="")
    assert (read.outcome, known.outcome, again.outcome) == (expected, expected, expected)


def test_unknown_sessions_are_none(sessions: SessionStore) -> None:
    assert sessions.get("nobody") is None
    assert sessions.read_status("nobody") is None
    assert sessions.cancel("nobody") is None
    assert sessions.begin("nobody", "w1") is None
    assert sessions.requeue("nobody") is None
    assert not sessions.renew("nobody", 1)
    assert not sessions.finish("nobody", 1, OUTCOME)
    assert sessions.is_cancelled("nobody")
    assert sessions.known_result("nothing") is None
    assert not sessions.delete_video("nothing")


def test_same_id_is_accepted_once(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one")
    again = sessions.accept(make_session("one"))
    assert again.state == "generating"
    assert sessions.waiting("standard") == ()


def test_equal_request_is_ready_at_once_if_its_video_is_known(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one")
    sessions.finish("one", 1, OUTCOME)
    again = sessions.accept(make_session("two", "vip"))
    assert (again.state, again.reused, again.outcome) == ("ready", True, OUTCOME)
    assert sessions.waiting("vip") == ()


def test_deleted_video_is_rendered_again(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one")
    sessions.finish("one", 1, OUTCOME)
    assert sessions.delete_video(KEY)
    assert not sessions.delete_video(KEY)
    assert sessions.accept(make_session("two")).state == "queued"
    assert sessions.waiting("standard") == ("two",)


def test_full_lane_refuses_and_stores_nothing(sessions: SessionStore) -> None:
    for number in range(3):
        sessions.accept(make_session(f"s{number}", key=f"k{number}"))
    with pytest.raises(LaneFull) as caught:
        sessions.accept(make_session("late", key="other"))
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 1
    assert sessions.get("late") is None
    with pytest.raises(LaneFull):
        sessions.check_room("standard", "other")
    sessions.check_room("standard", "k0")  # it would follow
    sessions.check_room("vip", "other")
    assert sessions.accept(make_session("vip", "vip", key="other")).state == "queued"
    begin(sessions, "s0")
    assert sessions.accept(make_session("late", key="late")).state == "queued"


def test_full_lane_estimates_its_next_place_from_measurements(
    sessions: SessionStore, queue: redis.Redis
) -> None:
    Statistics(queue).job_done("first", "standard", "pattern", OUTCOME)  # 0.75 s for a second of video
    for number in range(3):
        sessions.accept(make_session(f"s{number}", key=f"k{number}", seconds=20.0))
    with pytest.raises(LaneFull) as caught:
        sessions.accept(make_session("late", key="other"))
    assert caught.value.retry_after == pytest.approx(15.0)


def test_session_of_an_unknown_avatar_is_refused(sessions: SessionStore) -> None:
    with pytest.raises(NotFound):
        sessions.accept(make_session("one", image_id="f" * 64))
    assert sessions.get("one") is None


def test_running_session_is_not_started_by_another_worker(sessions: SessionStore, clock: Clock) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one", "w1")
    assert sessions.begin("one", "w2") is None
    clock.advance(14)
    assert sessions.renew("one", 1)
    clock.advance(14)
    assert sessions.begin("one", "w2") is None
    clock.advance(2)
    assert begin(sessions, "one", "w2").attempt == 2


def test_worker_takes_over_its_own_run_at_once(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one", "w1")
    assert begin(sessions, "one", "w1").attempt == 2
    assert not sessions.renew("one", 1)
    assert sessions.renew("one", 2)


def test_ended_session_is_not_started(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one")
    sessions.finish("one", 1, OUTCOME)
    assert sessions.begin("one", "w1") is None
    assert state(sessions, "one") == "ready"


def test_lost_session_returns_to_its_old_place(sessions: SessionStore, clock: Clock) -> None:
    sessions.accept(make_session("one", key="k1"))
    sessions.accept(make_session("two", key="k2"))
    begin(sessions, "one")
    sessions.move("one", 1, Progress("render", 5, 10))
    assert sessions.lost() == ()
    assert sessions.requeue("one") is None
    clock.advance(16)
    assert sessions.lost() == ("one",)
    again = sessions.requeue("one")
    assert again is not None
    assert (again.state, again.moment, again.attempt) == ("queued", None, 1)
    assert sessions.waiting("standard") == ("one", "two")
    assert sessions.lost() == ()


def test_stale_attempt_changes_nothing(sessions: SessionStore, clock: Clock) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one", "w1")
    clock.advance(16)
    sessions.requeue("one")
    assert begin(sessions, "one", "w2").attempt == 2
    before = sessions.get("one")
    assert not sessions.renew("one", 1)
    assert not sessions.move("one", 1, Progress("render", 9, 10))
    assert not sessions.finish("one", 1, OUTCOME)
    assert not sessions.fail("one", 1, Failure("output_error", "full"))
    assert not sessions.hand_back("one", 1)
    assert sessions.get("one") == before
    assert sessions.known_result(KEY) is None
    assert sessions.finish("one", 2, OUTCOME)


def test_repeated_finish_returns_the_same(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one")
    assert sessions.finish("one", 1, OUTCOME)
    before = sessions.get("one")
    assert sessions.finish("one", 1, OUTCOME)
    assert sessions.get("one") == before


def test_session_that_killed_three_workers_has_failed(sessions: SessionStore, clock: Clock) -> None:
    sessions.accept(make_session("one"))
    for attempt in (1, 2, 3):
        assert begin(sessions, "one", f"w{attempt}").attempt == attempt
        clock.advance(16)
        session = sessions.requeue("one")
        assert (session is None) == (attempt == 3)
    failed = sessions.get("one")
    assert failed is not None
    assert failed.failure is not None
    assert (failed.state, failed.failure.code) == ("failed", "worker_lost")
    assert failed.failure.retryable
    assert sessions.dead() == ("one",)
    assert sessions.running() == ()
    assert sessions.accept(make_session("two")).state == "queued"


def test_redelivered_ticket_can_give_a_session_up(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    for _ in range(3):
        begin(sessions, "one", "w1")
    assert sessions.begin("one", "w1") is None
    assert state(sessions, "one") == "failed"


def test_handing_back_does_not_count_as_an_attempt(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    for number in range(1, 8):
        assert begin(sessions, "one", f"w{number}").attempt == number
        assert sessions.hand_back("one", number)
        assert not sessions.hand_back("one", number)
        assert sessions.waiting("standard") == ("one",)
    begin(sessions, "one")
    assert sessions.finish("one", 8, OUTCOME)


def test_failure_is_stored(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one")
    failure = Failure("unreadable_audio", "The bytes hold no sound.", param="audio_file")
    assert sessions.fail("one", 1, failure)
    failed = sessions.get("one")
    assert failed is not None
    assert (failed.state, failed.failure) == ("failed", failure)
    assert sessions.accept(make_session("two")).state == "queued"


def test_cancelled_queued_session_ends_at_once(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    cancelled = sessions.cancel("one")
    assert cancelled is not None
    assert cancelled.state == "cancelled"
    assert sessions.waiting("standard") == ()
    assert sessions.begin("one", "w1") is None
    assert sessions.cancel("one") == cancelled


def test_cancelled_running_session_ends_when_its_worker_stops(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one")
    assert not sessions.is_cancelled("one")
    flagged = sessions.cancel("one")
    assert flagged is not None
    assert flagged.state == "generating"
    assert sessions.is_cancelled("one")
    assert sessions.renew("one", 1)
    assert sessions.fail("one", 1, Failure("cancelled", "stopped"))
    ended = sessions.get("one")
    assert ended is not None
    assert (ended.state, ended.failure) == ("cancelled", None)


def test_video_of_a_cancelled_session_is_not_published(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one")
    sessions.cancel("one")
    assert not sessions.finish("one", 1, OUTCOME)
    assert state(sessions, "one") == "cancelled"
    assert sessions.known_result(KEY) is None


@pytest.mark.parametrize("end", ["hand_back", "fail", "lease", "begin"])
def test_cancelled_session_never_runs_again(sessions: SessionStore, clock: Clock, end: str) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one", "w1")
    sessions.cancel("one")
    match end:
        case "hand_back":
            assert sessions.hand_back("one", 1)
        case "fail":
            assert sessions.fail("one", 1, Failure("output_error", "full", retryable=True))
        case "lease":
            clock.advance(16)
            assert sessions.requeue("one") is None
        case _:
            assert sessions.begin("one", "w1") is None
    assert state(sessions, "one") == "cancelled"
    assert sessions.unsent() == ()


def test_equal_request_does_not_follow_a_cancelled_session(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one")
    sessions.cancel("one")
    second = sessions.accept(make_session("two"))
    assert (second.state, second.leader) == ("queued", None)
    sessions.fail("one", 1, Failure("cancelled", "stopped"))
    assert sessions.accept(make_session("three")).leader == "two"


def test_session_of_a_deleted_avatar_cannot_become_ready(sessions: SessionStore, queue: redis.Redis) -> None:
    sessions.accept(make_session("runs", key="k1"))
    sessions.accept(make_session("waits", key="k2"))
    begin(sessions, "runs")
    AvatarStore(queue).delete(make_session("x").spec.image_id)
    assert not sessions.finish("runs", 1, OUTCOME)
    assert sessions.begin("waits", "w1") is None
    assert [state(sessions, name) for name in ("runs", "waits")] == ["cancelled", "cancelled"]
    assert sessions.known_result("k1") is None


def test_ended_sessions_are_kept_for_a_limited_time(sessions: SessionStore, queue: redis.Redis) -> None:
    sessions.accept(make_session("one"))
    begin(sessions, "one")
    assert queue.ttl("session:one") == queue.ttl("events:one") == -1
    sessions.finish("one", 1, OUTCOME)
    assert 3500 < queue.ttl("session:one") <= 3600
    assert 3500 < queue.ttl("events:one") <= 3600
    week = 7 * 86_400
    assert week - 100 < queue.ttl(f"result:{KEY}") <= week


def test_ended_session_expires(queue: redis.Redis) -> None:
    add_avatar(queue)
    sessions = SessionStore(queue, Settings(session_ttl_seconds=1))
    sessions.accept(make_session("one", callback_url="https://example.com/"))
    sessions.cancel("one")
    wait_for(lambda: sessions.get("one") is None, "it is forgotten")
    assert sessions.unannounced() == ()
    assert queue.zcard("unannounced") == 0


def test_unsent_gives_each_session_to_one_caller(sessions: SessionStore) -> None:
    sessions.accept(make_session("one"))
    assert sessions.unsent() == ()  # the caller of accept sends the first ticket
    begin(sessions, "one")
    sessions.hand_back("one", 1)
    assert [session.session_id for session in sessions.unsent()] == ["one"]
    assert sessions.unsent() == ()


def test_old_tickets_are_sent_again_after_a_while(sessions: SessionStore, clock: Clock) -> None:
    sessions.accept(make_session("one", key="k1"))
    clock.advance(20)
    sessions.accept(make_session("two", key="k2"))
    assert sessions.forgotten(30) == ()
    clock.advance(15)
    assert [session.session_id for session in sessions.forgotten(30)] == ["one"]
    assert sessions.forgotten(30) == ()
    clock.advance(16)
    assert [session.session_id for session in sessions.forgotten(30)] == ["two"]


def test_ends_with_a_callback_are_returned_until_announced(sessions: SessionStore, clock: Clock) -> None:
    sessions.accept(make_session("quiet", key="k1"))
    sessions.accept(make_session("one", key="k2", callback_url="https://example.com/"))
    sessions.accept(make_session("two", key="k2", callback_url="https://example.com/"))
    assert sessions.unannounced() == ()
    for name in ("quiet", "two", "one"):
        sessions.cancel(name)
        clock.advance(1)
    assert [session.session_id for session in sessions.unannounced()] == ["two", "one"]
    sessions.announced("two")
    assert [session.session_id for session in sessions.unannounced()] == ["one"]


def test_lanes_report_their_load(sessions: SessionStore, clock: Clock) -> None:
    assert sessions.lanes() == {"vip": LaneLoad(0, None), "standard": LaneLoad(0, None)}
    since = clock()
    sessions.accept(make_session("one", key="k1", at=since))
    clock.advance(5)
    sessions.accept(make_session("two", key="k2", at=clock()))
    assert sessions.lanes()["standard"] == LaneLoad(2, since)


def test_server_time_is_used_without_a_clock(queue: redis.Redis) -> None:
    add_avatar(queue)
    sessions = SessionStore(queue, Settings())
    sessions.accept(make_session("one"))
    seconds, micros = queue.time()
    started = begin(sessions, "one").started_at
    assert started == pytest.approx(seconds + micros / 1e6, abs=1.0)
    assert sessions.lost() == ()
    assert sessions.lost(seconds + 16.0) == ("one",)
    assert sessions.requeue("one") is None


def test_scripts_are_reloaded_after_the_server_lost_them(sessions: SessionStore, queue: redis.Redis) -> None:
    sessions.accept(make_session("one"))
    queue.script_flush()
    assert state(sessions, "one") == "queued"
