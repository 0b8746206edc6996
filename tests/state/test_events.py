"""Events of a session: in order, readable again from any point, ending with the session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
from tests.support.jobs import OUTCOME, Clock, make_session
from tests.support.servers import StoreServer

from sadtalker_service.domain import Progress, VideoResult
from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.state.events import BEGINNING, subscribe
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.store.connections import connect_async


def run_to_the_end(sessions: SessionStore, clock: Clock, name: str = "one") -> None:
    """A session with five events."""
    sessions.accept(make_session(name, at=clock()))
    sessions.begin(name, "w1")
    sessions.move(name, 1, Progress("speech_features"))
    sessions.move(name, 1, Progress("render", 10, 50))
    sessions.finish(name, 1, OUTCOME)


def read(url: str, name: str, last_id: str = BEGINNING) -> list[tuple[str, dict[str, Any]]]:
    """All events up to the end."""

    async def collect() -> list[tuple[str, dict[str, Any]]]:
        async with connect_async(url) as client:
            return [event async for event in subscribe(client, name, last_id)]

    return asyncio.run(asyncio.wait_for(collect(), 20))


def test_all_events_can_be_read_after_the_end(
    sessions: SessionStore, clock: Clock, queue_server: StoreServer
) -> None:
    run_to_the_end(sessions, clock)
    events = [event for _, event in read(queue_server.url, "one")]
    assert [event["state"] for event in events] == ["queued", *["generating"] * 3, "ready"]
    assert [event["moment"] and event["moment"]["stage"] for event in events] == [
        None,
        None,
        "speech_features",
        "render",
        "render",
    ]
    assert events[0]["at"] == clock()
    assert VideoResult.from_json(events[-1]["outcome"]) == OUTCOME


def test_events_continue_after_the_last_known_id(
    sessions: SessionStore, clock: Clock, queue_server: StoreServer
) -> None:
    run_to_the_end(sessions, clock)
    everything = read(queue_server.url, "one")
    for index, (name, _) in enumerate(everything):
        assert read(queue_server.url, "one", name) == everything[index + 1 :]


@pytest.mark.parametrize(
    "last_id", ["", "abc", "1", "-", "$", "1-2-3", "99999999999999999999999-1", "-1-1", "١-٢"]
)
def test_invalid_id_means_the_beginning(
    sessions: SessionStore, clock: Clock, queue_server: StoreServer, last_id: str
) -> None:
    run_to_the_end(sessions, clock)
    assert len(read(queue_server.url, "one", last_id)) == 5


def test_future_id_ends_with_the_session(
    sessions: SessionStore, clock: Clock, queue_server: StoreServer
) -> None:
    run_to_the_end(sessions, clock)
    assert read(queue_server.url, "one", "9999999999999-0") == []


def test_unknown_session_has_no_events(sessions: SessionStore, queue_server: StoreServer) -> None:
    assert read(queue_server.url, "nobody") == []


def test_events_arrive_while_they_happen(
    sessions: SessionStore, clock: Clock, queue_server: StoreServer
) -> None:
    sessions.accept(make_session("one"))

    async def watch() -> list[str]:
        seen = []
        async with connect_async(queue_server.url) as client:
            async for _, event in subscribe(client, "one"):
                seen.append(event["state"])
                if seen == ["queued"]:
                    await asyncio.to_thread(sessions.begin, "one", "w1")
                if seen == ["queued", "generating"]:
                    await asyncio.to_thread(sessions.finish, "one", 1, OUTCOME)
        return seen

    assert asyncio.run(asyncio.wait_for(watch(), 20)) == ["queued", "generating", "ready"]


def test_subscription_waits_and_ends_when_the_session_is_deleted(
    sessions: SessionStore, queue: redis.Redis, queue_server: StoreServer
) -> None:
    sessions.accept(make_session("one"))

    async def watch() -> list[str]:
        seen = []
        async with connect_async(queue_server.url) as client:
            async for _, event in subscribe(client, "one", wait_seconds=0.02):
                seen.append(event["state"])
                if len(seen) == 1:
                    asyncio.get_running_loop().call_later(0.2, sessions.begin, "one", "w1")
                else:
                    asyncio.get_running_loop().call_later(0.2, queue.delete, "events:one")
        return seen

    assert asyncio.run(asyncio.wait_for(watch(), 20)) == ["queued", "generating"]


def test_followers_get_the_events_of_their_leader(
    sessions: SessionStore, clock: Clock, queue_server: StoreServer
) -> None:
    sessions.accept(make_session("one"))
    sessions.begin("one", "w1")
    sessions.accept(make_session("two"))
    sessions.move("one", 1, Progress("render", 1, 2))
    sessions.finish("one", 1, OUTCOME)
    events = [event for _, event in read(queue_server.url, "two")]
    assert [event["state"] for event in events] == ["generating", "generating", "ready"]
    assert events[-1]["outcome"]["frames"] == OUTCOME.frames


def test_progress_is_sent_at_most_five_times_a_second(
    sessions: SessionStore, clock: Clock, queue: redis.Redis
) -> None:
    sessions.accept(make_session("one"))
    sessions.begin("one", "w1")
    before = queue.xlen("events:one")
    for frame in range(100):  # over two seconds
        sessions.move("one", 1, Progress("render", frame, 100))
        clock.advance(0.02)
    assert 9 <= queue.xlen("events:one") - before <= 11
    moved = sessions.get("one")
    assert moved is not None
    assert moved.moment == Progress("render", 99, 100)


def test_long_streams_lose_only_their_beginning(
    sessions: SessionStore, clock: Clock, queue_server: StoreServer
) -> None:
    sessions.accept(make_session("one"))
    sessions.begin("one", "w1")
    for frame in range(1500):
        sessions.move("one", 1, Progress("render", frame, 1500))
        clock.advance(1)
        sessions.renew("one", 1)
    sessions.finish("one", 1, OUTCOME)
    events = [event for _, event in read(queue_server.url, "one")]
    assert 1000 <= len(events) <= 1200
    assert [event["moment"]["frame"] for event in events[-3:]] == [1498, 1499, 1499]


def test_unavailable_server_is_an_error(queue_server: StoreServer, sessions: SessionStore) -> None:
    queue_server.kill()
    with pytest.raises(StoreUnavailable):
        read(queue_server.url, "one")
