"""Engines and workers as published by the workers."""

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


def test_default_engine_serves_requests_without_a_name(queue: redis.Redis) -> None:
    engines = EngineRegistry(queue)
    engines.publish(OTHER, default=False)
    assert engines.card() == OTHER
    engines.publish(CARD, default=True)
    engines.publish(OTHER, default=False)
    assert engines.card() == CARD
    assert engines.card("other") == OTHER
    assert list(engines.all()) == ["other", "pattern"]


def test_new_version_replaces_the_old_one(queue: redis.Redis) -> None:
    engines = EngineRegistry(queue)
    engines.publish(CARD, default=True)
    engines.publish(replace(CARD, version="2"), default=True)
    assert engines.card().version == "2"


def test_unknown_engine_is_refused_with_the_known_names(queue: redis.Redis) -> None:
    engines = EngineRegistry(queue)
    engines.publish(CARD, default=True)
    with pytest.raises(EngineUnavailable, match="pattern") as caught:
        engines.card("dream")
    assert not caught.value.retryable


def test_unpublished_engine_is_forgotten_while_others_are_published(queue: redis.Redis) -> None:
    engines = EngineRegistry(queue)
    engines.publish(CARD, default=False)
    engines.publish(OTHER, default=True)
    queue.zadd("engines:seen", {"other": time.time() - 3600})
    assert engines.card() == OTHER  # all workers may be away for a while
    engines.publish(CARD, default=False)
    assert list(engines.all()) == ["pattern"]
    assert engines.card() == CARD  # the default one is gone
    assert queue.zrange("engines:seen", 0, -1) == [b"pattern"]


def test_cards_of_an_earlier_release_stay_until_replaced(queue: redis.Redis) -> None:
    engines = EngineRegistry(queue)
    engines.publish(CARD, default=True)
    queue.delete("engines:seen")
    assert engines.card() == CARD
    engines.publish(OTHER, default=False)
    assert list(engines.all()) == ["other"]


def test_obstacles_are_forgotten_with_the_worker_that_reported_them(queue: redis.Redis) -> None:
    board = WorkerRegistry(queue)
    board.beat("a", WorkerFacts(("vip",), "mesh", "idle", obstacles={"neural": "no torch."}))
    assert board.live()["a"].obstacles == {"neural": "no torch."}
    board.beat("a", WorkerFacts(("vip",), "mesh", "idle"))
    assert board.live()["a"].obstacles == {}


def test_workers_are_live_while_they_send_heartbeats(queue: redis.Redis) -> None:
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


def test_long_silent_worker_leaves_nothing(queue: redis.Redis) -> None:
    board = WorkerRegistry(queue)
    board.beat("a", WorkerFacts(("vip",), state="idle"))
    for name in ("workers:seen", "workers:rendering"):
        queue.zadd(name, {"a": time.time() - 3600})
    assert board.live() == {}
    assert queue.keys("workers*") == []
