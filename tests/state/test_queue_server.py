"""What becomes of scripts when their server is full, killed or started again."""

from __future__ import annotations

import pytest
import redis
from redis.exceptions import ResponseError
from tests.support.jobs import OUTCOME, make_session
from tests.support.servers import StoreServer

from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.state.queue_server import QueueServer
from sadtalker_service.state.sessions import SessionStore


def everything(queue: redis.Redis) -> dict[bytes | str, object]:
    """All that the server holds."""
    return {name: queue.dump(name) for name in queue.keys("*")}


def test_killed_server_has_lost_nothing_that_was_accepted(
    sessions: SessionStore, queue_server: StoreServer
) -> None:
    for number in range(3):
        sessions.accept(make_session(f"s{number}", key=f"k{number}"))
    sessions.begin("s0", "w1")
    queue_server.kill()
    with pytest.raises(StoreUnavailable):
        sessions.get("s0")
    queue_server.start()
    assert sessions.waiting("standard") == ("s1", "s2")
    assert sessions.finish("s0", 1, OUTCOME)


def test_full_server_takes_nothing_on_and_tears_nothing(sessions: SessionStore, queue: redis.Redis) -> None:
    sessions.accept(make_session("one", key="k1"))
    sessions.accept(make_session("two", key="k2"))
    sessions.begin("one", "w1")
    before = everything(queue)
    queue.config_set("maxmemory", 1)
    try:
        for call in (
            lambda: sessions.accept(make_session("three", key="k3")),
            lambda: sessions.finish("one", 1, OUTCOME),
        ):
            with pytest.raises(StoreUnavailable):
                call()
        assert everything(queue) == before
        assert sessions.get("two") is not None  # looking needs no memory
        assert sessions.cancel("two") is not None  # nor does what frees some
    finally:
        queue.config_set("maxmemory", 0)
    assert sessions.finish("one", 1, OUTCOME)
    states = [session.state for session in map(sessions.get, ("one", "two")) if session]
    assert states == ["ready", "cancelled"]


def test_wrong_command_is_a_defect_and_not_a_server_that_is_away(queue: redis.Redis) -> None:
    with pytest.raises(ResponseError):
        QueueServer(queue).command("NONSENSE")
