"""Takes the items of an iterator in another thread, a few ahead of their use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Queue
from threading import Event, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True)
class _End:
    error: BaseException | None = None


@contextmanager
def taken_ahead(source: Iterator[T], most: int = 2) -> Iterator[Iterator[T]]:
    """Context manager that gives the items of `source`. At most `most` of them wait to be used.

    The second item is begun only when it is requested, so that the use of the first one need not wait. An
    error of `source` is raised in place of its item. When the context ends, it waits for the item that is
    being made, and takes no more.
    """
    ready: Queue[_Item[T] | _End] = Queue(most)
    stopped, wanted = Event(), Event()
    thread = Thread(target=_take, args=(source, ready, stopped, wanted), name="hearing", daemon=True)
    thread.start()
    try:
        yield _items(ready, wanted)
    finally:
        stopped.set()
        wanted.set()
        while thread.is_alive():
            while not ready.empty():
                ready.get()
            thread.join(0.01)


def _take(source: Iterator[T], ready: Queue[_Item[T] | _End], stopped: Event, wanted: Event) -> None:
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
