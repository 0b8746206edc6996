"""Waiting for a restarting queue server."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sadtalker_service.errors import InvalidOption, StoreUnavailable
from sadtalker_service.state.retry import best_effort, retry_while_unavailable


class Clock:
    """A clock that advances while it sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def away_until(clock: Clock, back_at: float) -> Callable[[], str]:
    def call() -> str:
        if clock() < back_at:
            raise StoreUnavailable("away")
        return f"at {clock() >= back_at}"

    return call


def test_a_server_that_returns_within_a_minute_causes_no_error() -> None:
    clock = Clock()
    assert retry_while_unavailable(away_until(clock, 40.0), clock=clock, sleep=clock.sleep) == "at True"
    assert 40.0 <= clock.now < 43.0


def test_it_gives_up_after_a_minute() -> None:
    clock = Clock()
    with pytest.raises(StoreUnavailable):
        retry_while_unavailable(away_until(clock, 3_600.0), clock=clock, sleep=clock.sleep)
    assert 55.0 < clock.now <= 60.0


def test_other_errors_are_not_retried() -> None:
    clock = Clock()

    def wrong() -> None:
        raise InvalidOption("wrong")

    with pytest.raises(InvalidOption):
        retry_while_unavailable(wrong, clock=clock, sleep=clock.sleep)
    assert clock.now == 0.0


def test_best_effort_call_is_tried_once() -> None:
    calls: list[int] = []

    def missed() -> None:
        calls.append(1)
        raise StoreUnavailable("away")

    best_effort(missed)
    assert len(calls) == 1
