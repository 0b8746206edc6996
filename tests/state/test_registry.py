"""Engines and workers as they tell of themselves."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import redis
from tests.support.jobs import CARD

from sadtalker_service.errors import EngineStarting, EngineUnavailable
from sadtalker_service.state.records import WorkerFacts
from sadtalker_service.state.registry import EngineRegistry, WorkerRegistry

OTHER = replace(CARD, name="other", version="7")


def test_engines_are_starting_until_a_worker_has_loaded_one(queue: redis.Redis) -> None:
    with pytest.raises(EngineStarting) as caught:
        EngineRegistry(queue).card()
    assert caught.value.retryable
    assert EngineRegistry(queue).all() == {}


def test_published_engine_comes_back_whole(queue: redis.Redis) -> None:
    EngineRegistry(queue).publish(CARD, default=True)
    assert EngineRegistry(queue).card() == CARD
    assert EngineRegistry(queue).card("pattern") == CARD


def test_requests_that_name_no_engine_get_the_default_one(queue: redis.Redis) -> None:
    shelf = EngineRegistry(queue)
    shelf.publish(OTHER, default=False)
    assert shelf.card() == OTHER
    shelf.publish(CARD, default=True)
    shelf.publish(OTHER, default=False)
    assert shelf.card() == CARD
    assert shelf.card("other") == OTHER
    assert list(shelf.all()) == ["other", "pattern"]


def test_new_version_takes_the_place_of_the_old_one(queue: redis.Redis) -> None:
    shelf = EngineRegistry(queue)
    shelf.publish(CARD, default=True)
    shelf.publish(replace(CARD, version="2"), default=True)
    assert shelf.card().version == "2"


def test_unknown_engine_is_refused_with_the_names_that_there_are(queue: redis.Redis) -> None:
    shelf = EngineRegistry(queue)
    shelf.publish(CARD, default=True)
    with pytest.raises(EngineUnavailable, match="pattern") as caught:
        shelf.card("dream")
    assert not caught.value.retryable


def test_engine_that_nobody_speaks_of_is_forgotten_while_others_are_published(queue: redis.Redis) -> None:
    shelf = EngineRegistry(queue)
    shelf.publish(CARD, default=False)
    shelf.publish(OTHER, default=True)
    queue.zadd("engines:seen", {"other": time.time() - 3600})
    assert shelf.card() == OTHER  # all workers may be away for a while
    shelf.publish(CARD, default=False)
    assert list(shelf.all()) == ["pattern"]
    assert shelf.card() == CARD  # the default one is gone
    assert queue.zrange("engines:seen", 0, -1) == [b"pattern"]


def test_cards_of_an_earlier_release_stay_until_their_engines_are_published(queue: redis.Redis) -> None:
    shelf = EngineRegistry(queue)
    shelf.publish(CARD, default=True)
    queue.delete("engines:seen")
    assert shelf.card() == CARD
    shelf.publish(OTHER, default=False)
    assert list(shelf.all()) == ["other"]


def test_what_keeps_engines_from_running_goes_with_the_worker_that_said_so(queue: redis.Redis) -> None:
    board = WorkerRegistry(queue)
    board.beat("a", WorkerFacts(("vip",), "mesh", "idle", obstacles={"neural": "no torch."}))
    assert board.live()["a"].obstacles == {"neural": "no torch."}
    board.beat("a", WorkerFacts(("vip",), "mesh", "idle"))
    assert board.live()["a"].obstacles == {}


def test_workers_are_alive_as_long_as_they_are_heard_of(queue: redis.Redis) -> None:
    board = WorkerRegistry(queue)
    facts = WorkerFacts(("vip", "normal"), "pattern", "busy", "session-1")
    board.beat("b", facts)
    board.beat("a", WorkerFacts(("prepare",)))
    live = board.live()
    assert list(live) == ["a", "b"]
    assert replace(live["b"], seen_at=0.0) == facts
    seconds, micros = queue.time()
    assert live["b"].seen_at == pytest.approx(seconds + micros / 1e6, abs=5)
    time.sleep(0.05)
    assert board.live(max_age=0.01) == {}
    assert len(board.live()) == 2


def test_worker_that_leaves_is_gone(queue: redis.Redis) -> None:
    board = WorkerRegistry(queue)
    board.beat("a", WorkerFacts(("vip",), state="idle"))
    board.leave("a")
    assert board.live() == {}
    assert queue.keys("workers*") == []


def test_worker_that_was_silent_for_long_leaves_nothing(queue: redis.Redis) -> None:
    board = WorkerRegistry(queue)
    board.beat("a", WorkerFacts(("vip",), state="idle"))
    for name in ("workers:seen", "workers:rendering"):
        queue.zadd(name, {"a": time.time() - 3600})
    assert board.live() == {}
    assert queue.keys("workers*") == []
