"""Items are taken in another thread, which a cancellation does not wait for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from threading import Event, Lock

import pytest

from sadtalker_service.errors import Cancelled, EmptyAudio
from sadtalker_service.pipeline.ahead import taken_ahead


class Slow:
    """A source whose second item takes until it is allowed."""

    def __init__(self) -> None:
        self.begun, self.allowed, self.closed = Event(), Event(), Event()

    def items(self) -> Iterator[int]:
        try:
            yield 1
            self.begun.set()
            assert self.allowed.wait(20)
            yield 2
        finally:
            self.closed.set()


def hearing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "hearing"]


def test_cancellation_does_not_wait_and_the_next_one_does() -> None:
    slow, turn = Slow(), Lock()

    def cancelled_job() -> None:
        with taken_ahead(slow.items(), turn=turn) as items:
            assert next(items) == 1
            threading.Thread(target=lambda: list(items), daemon=True).start()
            assert slow.begun.wait(20)
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        cancelled_job()
    assert turn.locked(), "the item is still being made"
    assert not slow.closed.is_set()
    others: list[int] = []

    def next_job() -> None:
        with taken_ahead(iter([7]), turn=turn) as items:
            others.extend(items)

    following = threading.Thread(target=next_job)
    following.start()
    assert others == []
    slow.allowed.set()
    following.join(20)
    assert others == [7]
    assert slow.closed.is_set()
    assert not turn.locked()


@pytest.mark.parametrize("turn", [None, Lock()])
@pytest.mark.parametrize("error", [None, EmptyAudio("too short"), Cancelled("stopped")])
def test_nothing_is_left_after_the_context(turn: Lock | None, error: Exception | None) -> None:
    source = iter(range(100))
    with suppress(EmptyAudio, Cancelled), taken_ahead(source, turn=turn) as items:
        assert next(items) == 0
        if error:
            raise error
    for thread in hearing():
        thread.join(20)
    assert hearing() == []
    assert next(source) < 10, "no more was taken than a few ahead"
    if turn:
        assert not turn.locked()
