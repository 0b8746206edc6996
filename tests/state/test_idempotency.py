"""Requests that are sent again."""

from __future__ import annotations

import pytest
import redis

from sadtalker_service.errors import Conflict, IdempotencyKeyReused
from sadtalker_service.settings import Settings
from sadtalker_service.state.idempotency import FLIGHT_SECONDS, IdempotencyKeys


@pytest.fixture
def keys(queue: redis.Redis) -> IdempotencyKeys:
    """No key was ever seen."""
    return IdempotencyKeys(queue, Settings(idempotency_seconds=1000))


def test_key_leads_to_the_first_answer(keys: IdempotencyKeys) -> None:
    assert keys.claim("shop", "k", "print") is None
    keys.complete("shop", "k", "print", "session-1")
    assert keys.claim("shop", "k", "print") == "session-1"
    assert keys.claim("shop", "k", "print") == "session-1"


def test_key_is_busy_while_its_request_is_being_answered(keys: IdempotencyKeys) -> None:
    keys.claim("shop", "k", "print")
    with pytest.raises(Conflict) as caught:
        keys.claim("shop", "k", "print")
    assert caught.value.retryable


def test_key_is_refused_for_another_request(keys: IdempotencyKeys) -> None:
    keys.claim("shop", "k", "print")
    with pytest.raises(IdempotencyKeyReused):
        keys.claim("shop", "k", "other")
    keys.complete("shop", "k", "print", "session-1")
    with pytest.raises(IdempotencyKeyReused):
        keys.claim("shop", "k", "other")


def test_refused_request_may_be_sent_again(keys: IdempotencyKeys) -> None:
    keys.claim("shop", "k", "print")
    keys.release("shop", "k", "other")  # not its owner
    with pytest.raises(Conflict):
        keys.claim("shop", "k", "print")
    keys.release("shop", "k", "print")
    assert keys.claim("shop", "k", "other") is None


def test_answered_key_is_not_released(keys: IdempotencyKeys) -> None:
    keys.claim("shop", "k", "print")
    keys.complete("shop", "k", "print", "session-1")
    keys.release("shop", "k", "print")
    assert keys.claim("shop", "k", "print") == "session-1"


def test_users_do_not_meet_in_each_others_keys(keys: IdempotencyKeys) -> None:
    keys.claim("shop", "k", "print")
    assert keys.claim("bank", "k", "print") is None
    assert keys.claim("sho", "pk", "print") is None


def test_any_text_is_a_key(keys: IdempotencyKeys) -> None:
    for key in ("", " ", "../..", "ключ \0 😀", "k" * 100_000):
        assert keys.claim("shop", key, "print") is None


def test_claims_do_not_outlive_their_process_for_long_and_answers_are_kept(
    keys: IdempotencyKeys, queue: redis.Redis
) -> None:
    keys.claim("shop", "k", "print")
    (name,) = queue.keys("idempotency:*")
    assert 0 < queue.ttl(name) <= FLIGHT_SECONDS
    keys.complete("shop", "k", "print", "session-1")
    assert FLIGHT_SECONDS < queue.ttl(name) <= 1000
