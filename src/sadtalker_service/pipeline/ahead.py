"""Takes the items of an iterator in another thread, a few ahead of their use."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Queue
from threading import Event, Lock, Thread
from typing import Generic, TypeVar

from sadtalker_service.errors import Cancelled

T = TypeVar("T")


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True)
class _End:
    error: BaseException | None = None


@contextmanager
def taken_ahead(source: Iterator[T], most: int = 2, turn: Lock | None = None) -> Iterator[Iterator[T]]:
    """Context manager that gives the items of `source`. At most `most` of them wait to be used.

    The second item is begun only when it is requested, so that the use of the first one need not wait. An
    error of `source` is raised in place of its item. When the context ends, no more items are taken. It waits
    for the item that is being made, unless the work was cancelled and there is a `turn`, which the thread
    holds while it runs. Take `turn` before anything that must not run at the same time.
    """
    ready: Queue[_Item[T] | _End] = Queue(most)
    stopped, wanted = Event(), Event()
    if turn:
        turn.acquire()
    arguments = (source, ready, stopped, wanted, turn)
    # with a turn it may outlive its context, but not the process: that would end it inside foreign code
    thread = Thread(target=_take, args=arguments, name="hearing", daemon=turn is None)
    thread.start()
    waits = True
    try:
        yield _items(ready, wanted)
    except Cancelled:
        waits = turn is None
        raise
    finally:
        stopped.set()
        wanted.set()
        _empty(ready)
        while waits and thread.is_alive():
            thread.join(0.01)
            _empty(ready)


def _empty(ready: Queue[_Item[T] | _End]) -> None:
    while not ready.empty():
        ready.get()


def _take(
    source: Iterator[T], ready: Queue[_Item[T] | _End], stopped: Event, wanted: Event, turn: Lock | None
) -> None:
    try:
        _put_items(source, ready, stopped, wanted)
    finally:
        if isinstance(source, Generator):
            source.close()
        if turn:
            turn.release()


def _put_items(source: Iterator[T], ready: Queue[_Item[T] | _End], stopped: Event, wanted: Event) -> None:
    try:
        for value in source:
            if not stopped.is_set():
                ready.put(_Item(value))
            wanted.wait()
            if stopped.is_set():
                return
        end = _End()
    except BaseException as error:  # noqa: BLE001  raised in the other thread
        end = _End(error)
    if not stopped.is_set():
        ready.put(end)


def _items(ready: Queue[_Item[T] | _End], wanted: Event) -> Iterator[T]:
    while isinstance(item := ready.get(), _Item):
        yield item.value
        wanted.set()
    if item.error:
        raise item.error
