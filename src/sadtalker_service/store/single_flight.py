"""Single flight: identical computations that run at the same time are done once, across all processes.

The first caller computes. The others wait and then read the cache. This saves work, but it is not a lock that
guards data. If the cache server is unreachable, every caller computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class SingleFlight(Protocol):
    """Decides which caller computes a key. Safe to use from several threads."""

    def acquire(self, key: str, on_wait: Callable[[], None] | None = None) -> AbstractContextManager[bool]:
        """Context manager that yields True for the caller that must compute `key` within it.

        For other callers it waits until the leader has left its context, and then yields False. They read the
        cache, and acquire again if the artefact is missing. `on_wait` is called several times per second
        while waiting. An exception that it raises (`Cancelled`) ends the wait. Raises no errors of its own.
        """

    def lead(self, key: str) -> AbstractContextManager[bool]:
        """As `acquire`, but never waits: False at once if another caller leads.

        For a computation whose parts others can use before its end.
        """

    def is_led(self, key: str) -> bool:
        """Whether a caller computes `key` now. False if that cannot be known."""


class NoSingleFlight:
    """No coordination: every caller computes."""

    @contextmanager
    def acquire(self, key: str, on_wait: Callable[[], None] | None = None) -> Iterator[bool]:
        """Always yields True immediately."""
        del key, on_wait
        yield True

    @contextmanager
    def lead(self, key: str) -> Iterator[bool]:
        """Always yields True."""
        del key
        yield True

    def is_led(self, key: str) -> bool:
        """Nobody knows of others."""
        del key
        return False
