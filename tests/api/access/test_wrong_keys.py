"""Guessing keys is slow, and locks no other client out."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.support.jobs import Clock
from tests.support.running_api import RunningApi, running_api
from tests.support.servers import StoreServer

from sadtalker_service.api.access import wrong_keys
from sadtalker_service.api.access.wrong_keys import AT_ONCE, SECONDS_PER_TRY, WrongKeys, place_of
from sadtalker_service.settings import Settings

RIGHT, OTHER = b"r" * 32, b"o" * 32
HERE, THERE = "192.0.2.7", "192.0.2.8"


@pytest.fixture
def clock() -> Clock:
    return Clock(0.5)


@pytest.fixture
def tries(clock: Clock) -> WrongKeys:
    return WrongKeys(clock)


def guess(tries: WrongKeys, address: str, times: int) -> int:
    """Number of guesses that are checked."""
    looked_at = 0
    for _ in range(times):
        if tries.wait(address, OTHER) is None:
            tries.was_wrong(address)
            looked_at += 1
    return looked_at


def test_guesses_are_slowed_down_after_some(tries: WrongKeys, clock: Clock) -> None:
    assert guess(tries, HERE, 1_000) == AT_ONCE
    clock.advance(60)
    assert guess(tries, HERE, 1_000) == pytest.approx(60 / SECONDS_PER_TRY, abs=1)
    assert guess(tries, THERE, 5) == 5


def test_reported_wait_is_enough(tries: WrongKeys, clock: Clock) -> None:
    guess(tries, HERE, 1_000)
    wait = tries.wait(HERE, OTHER)
    assert wait is not None
    assert 0 < wait <= SECONDS_PER_TRY
    clock.advance(wait)
    assert tries.wait(HERE, OTHER) is None


def test_known_correct_key_is_accepted_among_guesses(tries: WrongKeys, clock: Clock) -> None:
    tries.was_right(HERE, RIGHT)
    guess(tries, HERE, 1_000)
    assert tries.wait(HERE, RIGHT) is None
    tries.was_right(THERE, OTHER)
    assert tries.wait(HERE, OTHER) is not None  # correct elsewhere, so here it counts as a guess
    clock.advance(2 * 86_400)
    guess(tries, HERE, 1_000)
    assert tries.wait(HERE, RIGHT) is not None


def test_memory_is_bounded_and_keeps_correct_keys(
    tries: WrongKeys, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(wrong_keys, "_MOST", 100)
    small = WrongKeys(clock)
    small.was_right(HERE, RIGHT)
    for number in range(5_000):
        small.was_wrong(f"10.0.{number // 250}.{number % 250}")
    guess(small, HERE, 1_000)
    assert small.wait(HERE, RIGHT) is None
    assert len(small._paid_until) == 100


def test_network_of_one_client_counts_as_one_address() -> None:
    assert place_of("2001:db8::1") == place_of("2001:db8::ffff:1") != place_of("2001:db8:0:1::1")
    assert place_of("::ffff:192.0.2.7") == place_of("192.0.2.7")
    assert place_of("fe80::1%eth0") == place_of("fe80::2")
    assert place_of("") == ""


KEYS = json.dumps([{"name": "cluster", "key": "k-cluster"}, {"name": "bank", "key": "k-bank"}])


@pytest.fixture
def guessed(
    api_settings: Settings, queue_server: StoreServer, cache_server: StoreServer
) -> Iterator[RunningApi]:
    """An API without any wrong keys so far."""
    with running_api(api_settings.model_copy(update={"api_keys": KEYS})) as api:
        yield api


def test_guesses_over_http(guessed: RunningApi) -> None:
    with guessed.client() as client:
        assert client.get("/api/avatar", headers={"X-API-Key": "k-cluster"}).status_code == 200
        answers = [
            client.get("/api/avatar", headers={"X-API-Key": f"guess-{number}"}) for number in range(60)
        ]
        codes = [answer.status_code for answer in answers]
        assert AT_ONCE <= codes.count(401) <= AT_ONCE + 10
        assert codes[-1] == 429
        assert 1 <= int(answers[-1].headers["retry-after"]) <= SECONDS_PER_TRY
        assert client.get("/api/avatar", headers={"X-API-Key": "k-cluster"}).status_code == 200
        assert client.get("/api/avatar").status_code == 401
