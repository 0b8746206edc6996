"""Repeated requests with an idempotency key."""

from __future__ import annotations

import time

import pytest
import redis

from sadtalker_service.errors import Conflict, IdempotencyKeyReused
from sadtalker_service.settings import Settings
from sadtalker_service.state.idempotency import LEASE_SECONDS, IdempotencyKeys


@pytest.fixture
def keys(queue: redis.Redis) -> IdempotencyKeys:
    """A store without any keys."""
    return IdempotencyKeys(queue, Settings(idempotency_seconds=1000))


@pytest.fixture
def short(queue: redis.Redis) -> IdempotencyKeys:
    """Claims that end soon unless renewed."""
    return IdempotencyKeys(queue, Settings(idempotency_seconds=1000), lease_seconds=0.2)


def accepted(queue: redis.Redis, session_id: str) -> None:
    """Store an accepted session."""
    queue.hset(f"session:{session_id}", "state", "queued")


def conflict(keys: IdempotencyKeys, fingerprint: str = "print") -> Conflict:
    """The error of a request while another one is in progress."""
    with pytest.raises(Conflict) as caught:
        keys.claim("cluster", "k", fingerprint, "session-9")
    return caught.value


def test_key_returns_the_first_session(keys: IdempotencyKeys, queue: redis.Redis) -> None:
    claim = keys.claim("cluster", "k", "print", "session-1")
    assert (claim.session_id, claim.answered) == ("session-1", False)
    accepted(queue, "session-1")
    keys.complete(claim)
    for number in (2, 3):
        again = keys.claim("cluster", "k", "print", f"session-{number}")
        assert (again.session_id, again.answered) == ("session-1", True)


def test_key_is_busy_while_its_request_is_in_progress(keys: IdempotencyKeys) -> None:
    keys.claim("cluster", "k", "print", "session-1")
    error = conflict(keys)
    assert error.retryable
    assert error.retry_after is not None
    assert 0 < error.retry_after <= LEASE_SECONDS


def test_key_is_refused_for_a_different_request(keys: IdempotencyKeys, queue: redis.Redis) -> None:
    claim = keys.claim("cluster", "k", "print", "session-1")
    with pytest.raises(IdempotencyKeyReused):
        keys.claim("cluster", "k", "other", "session-2")
    accepted(queue, "session-1")
    keys.complete(claim)
    with pytest.raises(IdempotencyKeyReused):
        keys.claim("cluster", "k", "other", "session-2")


def test_refused_request_may_be_sent_again(keys: IdempotencyKeys) -> None:
    claim = keys.claim("cluster", "k", "print", "session-1")
    keys.release(keys.claim("cluster", "another", "print", "session-2"))  # not the owner of the claim
    conflict(keys)
    keys.release(claim)
    assert not keys.claim("cluster", "k", "other", "session-3").answered


def test_answered_key_is_not_released(keys: IdempotencyKeys, queue: redis.Redis) -> None:
    claim = keys.claim("cluster", "k", "print", "session-1")
    accepted(queue, "session-1")
    keys.complete(claim)
    keys.release(claim)
    assert keys.claim("cluster", "k", "print", "session-2").session_id == "session-1"


def test_request_that_fails_after_acceptance_keeps_the_key(keys: IdempotencyKeys, queue: redis.Redis) -> None:
    claim = keys.claim("cluster", "k", "print", "session-1")
    accepted(queue, "session-1")
    keys.release(claim)
    again = keys.claim("cluster", "k", "print", "session-2")
    assert (again.session_id, again.answered) == ("session-1", True)


def test_deleted_session_is_created_again(keys: IdempotencyKeys, queue: redis.Redis) -> None:
    claim = keys.claim("cluster", "k", "print", "session-1")
    accepted(queue, "session-1")
    keys.complete(claim)
    queue.delete("session:session-1")
    again = keys.claim("cluster", "k", "print", "session-2")
    assert (again.session_id, again.answered) == ("session-2", False)
    conflict(keys)


def test_users_have_separate_keys(keys: IdempotencyKeys) -> None:
    keys.claim("cluster", "k", "print", "session-1")
    assert not keys.claim("bank", "k", "print", "session-2").answered
    assert not keys.claim("sho", "pk", "print", "session-3").answered


def test_any_text_is_a_key(keys: IdempotencyKeys) -> None:
    for key in ("", " ", "../..", "ключ \0 😀", "k" * 100_000):
        assert not keys.claim("cluster", key, "print", "session-1").answered


def test_claim_of_a_dead_request_passes_on_with_its_session(short: IdempotencyKeys) -> None:
    dead = short.claim("cluster", "k", "print", "session-1")
    end = time.monotonic() + 5
    while True:
        try:
            claim = short.claim("cluster", "k", "print", "session-2")
        except Conflict:
            assert time.monotonic() < end, "the claim of a dead request does not end"
        else:
            break
    assert (claim.session_id, claim.answered) == ("session-1", False)
    assert not short.renew(dead)
    short.complete(dead)  # too late, it was only slow
    conflict(short)
    assert short.renew(claim)


def test_accepted_session_of_a_dead_request_is_returned(short: IdempotencyKeys, queue: redis.Redis) -> None:
    short.claim("cluster", "k", "print", "session-1")
    accepted(queue, "session-1")  # then its process was killed
    end = time.monotonic() + 5
    while True:
        try:
            again = short.claim("cluster", "k", "print", "session-2")
        except Conflict:
            assert time.monotonic() < end, "the claim of a dead request does not end"
        else:
            break
    assert (again.session_id, again.answered) == ("session-1", True)
    with pytest.raises(IdempotencyKeyReused):
        short.claim("cluster", "k", "other", "session-3")


def test_renewed_claim_is_held(short: IdempotencyKeys) -> None:
    claim = short.claim("cluster", "k", "print", "session-1")
    end = time.monotonic() + 0.6  # three leases
    while time.monotonic() < end:
        assert short.renew(claim)
        conflict(short)


def test_keys_are_kept_as_long_as_configured(keys: IdempotencyKeys, queue: redis.Redis) -> None:
    claim = keys.claim("cluster", "k", "print", "session-1")
    (name,) = queue.keys("idempotency:*")
    assert LEASE_SECONDS < queue.ttl(name) <= 1000
    accepted(queue, "session-1")
    keys.complete(claim)
    assert LEASE_SECONDS < queue.ttl(name) <= 1000
