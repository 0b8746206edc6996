"""Arguments of scripts, and scripts on a server that is full, killed or restarted."""

from __future__ import annotations

import pytest
import redis
from redis.exceptions import ResponseError
from tests.support.jobs import OUTCOME, make_session
from tests.support.servers import StoreServer

from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.state.queue_server import QueueServer
from sadtalker_service.state.sessions import SessionStore


def dump_all(queue: redis.Redis) -> dict[bytes | str, object]:
    """Every key of the server with its value."""
    return {name: queue.dump(name) for name in queue.keys("*")}


def test_killed_server_keeps_everything_that_was_accepted(
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


def test_full_server_rejects_changes_as_a_whole(sessions: SessionStore, queue: redis.Redis) -> None:
    sessions.accept(make_session("one", key="k1"))
    sessions.accept(make_session("two", key="k2"))
    sessions.begin("one", "w1")
    before = dump_all(queue)
    queue.config_set("maxmemory", 1)
    try:
        for call in (
            lambda: sessions.accept(make_session("three", key="k3")),
            lambda: sessions.finish("one", 1, OUTCOME),
        ):
            with pytest.raises(StoreUnavailable):
                call()
        assert dump_all(queue) == before
        assert sessions.get("two") is not None  # reading needs no memory
        assert sessions.cancel("two") is not None  # nor does a change that frees some
    finally:
        queue.config_set("maxmemory", 0)
    assert sessions.finish("one", 1, OUTCOME)
    states = [session.state for session in map(sessions.get, ("one", "two")) if session]
    assert states == ["ready", "cancelled"]


def test_invalid_command_is_a_bug_and_not_an_unavailable_server(queue: redis.Redis) -> None:
    with pytest.raises(ResponseError):
        QueueServer(queue).command("NONSENSE")


def test_named_arguments_reach_the_script_unchanged(queue: redis.Redis) -> None:
    exact, owner = 1700000000.123456, 'Zoë "1"\\\n\0'
    record = b'{"state":"failed","note":"\xc3\xa9"}'
    arguments = {"image": "a" * 64, "slot": "full", "json": record, "uploaded_at": exact, "owner": owner}
    added = QueueServer(queue).named_script("add_avatar", **arguments, failed="", beside=0)
    assert added == [record, 1, repr(exact).encode()]
    assert queue.smembers(f"avatar_owners:{'a' * 64}") == {owner.encode()}
    queue.flushall()
