"""Leases on the slots of live workers, on a real server."""

from __future__ import annotations

import time

import pytest
import redis

from sadtalker_service.errors import EngineUnavailable, LiveSlotsFull, LiveUnavailable, NotFound
from sadtalker_service.options import RenderOptions
from sadtalker_service.settings import Settings
from sadtalker_service.state.live_records import LiveFigures, LiveSpec, LiveWorker, request_body
from sadtalker_service.state.live_sessions import LiveSessionStore

IMAGE = "ab" * 32
SPEC = LiveSpec(IMAGE, RenderOptions(preprocess="crop", size=256), "mesh", "1")
FIGURES = LiveFigures(250, 2, 0.18, 256, 256)


def worker(load: float = 0.1, slots: int = 2, engines: tuple[str, ...] = ("mesh",)) -> LiveWorker:
    return LiveWorker("unix:///run/live.sock", slots, load, engines, "wss://live.example")


@pytest.fixture
def live(queue: redis.Redis) -> LiveSessionStore:
    """A store in which the owner has the avatar of `IMAGE`."""
    queue.sadd(f"avatar_owners:{IMAGE}", "shop")
    return LiveSessionStore(queue, Settings(live_grace_seconds=0.3, lease_seconds=2))


def claim(live: LiveSessionStore, name: str, owner: str = "shop") -> str:
    """The worker of a new session."""
    return live.claim(name, "digest", owner, SPEC).worker


def until(wanted, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_session_goes_to_the_worker_with_the_lowest_load(live: LiveSessionStore) -> None:
    live.beat("busy", worker(0.6))
    live.beat("idle", worker(0.2))
    assert claim(live, "a") == claim(live, "b") == "idle"
    assert claim(live, "c") == "busy"  # the other one has no slot left
    session = live.get("a")
    assert session is not None
    assert (session.state, session.spec, session.public_url) == ("waiting", SPEC, "wss://live.example")
    assert {name: taken for name, (_, taken) in live.workers().items()} == {"busy": 1, "idle": 2}


def test_equal_loads_are_shared(live: LiveSessionStore) -> None:
    live.beat("one", worker(slots=4))
    live.beat("two", worker(slots=4))
    assert sorted(claim(live, str(number)) for number in range(4)) == ["one", "one", "two", "two"]


def test_repeated_claim_is_the_same_session(live: LiveSessionStore) -> None:
    live.beat("one", worker(slots=1))
    assert claim(live, "a") == claim(live, "a") == "one"


def test_full_and_busy_workers_get_no_session(live: LiveSessionStore) -> None:
    with pytest.raises(LiveUnavailable):
        claim(live, "a")
    live.beat("one", worker(load=0.71))
    with pytest.raises(LiveSlotsFull) as full:
        claim(live, "a")
    assert full.value.retry_after is not None
    live.beat("one", worker(load=0.7, slots=1))
    assert claim(live, "a") == "one"
    with pytest.raises(LiveSlotsFull):
        claim(live, "b")


def test_worker_without_the_engine_and_foreign_avatar_are_refused(live: LiveSessionStore) -> None:
    live.beat("one", worker(engines=("other",)))
    with pytest.raises(EngineUnavailable):
        claim(live, "a")
    live.beat("one", worker())
    with pytest.raises(NotFound):
        claim(live, "a", owner="bank")


def test_slot_comes_back_when_nobody_connects_and_when_the_worker_is_silent(live: LiveSessionStore) -> None:
    live.beat("one", worker(slots=1))
    claim(live, "a")
    until(lambda: live.get("a").reason == "never_connected")
    claim(live, "b")
    assert live.renew("b", "one", "connected", FIGURES) is None
    session = live.get("b")
    assert (session.state, session.figures) == ("connected", FIGURES)
    until(lambda: live.get("b").reason == "worker_lost")
    assert live.renew("b", "one", "connected", FIGURES) == "worker_lost"
    live.beat("one", worker(slots=1))
    assert claim(live, "c") == "one"


def test_ended_session_stays_ended_and_its_worker_learns_of_it(live: LiveSessionStore) -> None:
    live.beat("one", worker())
    claim(live, "a")
    live.renew("a", "one", "connected", FIGURES)
    assert live.end("a", "ended_by_request")
    assert not live.end("a", "idle")
    assert live.renew("a", "one", "connected", FIGURES) == "ended_by_request"
    assert live.renew("a", "two", "connected", FIGURES) == "worker_lost"
    assert live.workers()["one"][1] == 0


def test_deleted_avatar_ends_its_session(live: LiveSessionStore, queue: redis.Redis) -> None:
    live.beat("one", worker())
    claim(live, "a")
    queue.delete(f"avatar_owners:{IMAGE}")
    assert live.renew("a", "one", "connected", FIGURES) == "avatar_deleted"


def test_restarted_worker_carries_nothing(live: LiveSessionStore) -> None:
    live.beat("one", worker())
    claim(live, "a")
    live.renew("a", "one", "connected", FIGURES)
    live.leave("one", "worker_lost")
    assert live.get("a").reason == "worker_lost"
    assert live.workers() == {}
    assert live.get("unknown") is None


def test_request_that_starts_a_session_anew() -> None:
    assert request_body(SPEC) == {
        "image_id": IMAGE,
        "engine": "mesh",
        "preprocess_mode": "crop",
        "size": 256,
    }
