"""The artefact cache: the interface that the pipeline uses, and an in-memory implementation.

Losing a cache costs only time, because everything in it can be computed again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from cachetools import TLRUCache

from sadtalker_service.domain import Artefact


class CacheUnavailable(Exception):
    """The cache itself failed (disk full, no permission, server unreachable).

    Work can continue without it.
    """


class ArtefactCache(Protocol):
    """Stores artefacts under keys (`keys.py`) for a limited time. Safe to use from several threads."""

    def get(self, key: str) -> Artefact | None:
        """The artefact, or None if there is none or it cannot be read. Raises `CacheUnavailable`."""

    def put(self, key: str, artefact: Artefact, lifetime: float | None) -> None:
        """Store `artefact` for `lifetime` seconds, or forever if None. Raises `CacheUnavailable`."""


class NoCache:
    """A cache that stores nothing."""

    def get(self, key: str) -> Artefact | None:
        """Always None."""

    def put(self, key: str, artefact: Artefact, lifetime: float | None) -> None:
        """Do nothing."""


class MemoryCache:
    """Stores artefacts in this process and evicts the least recently used. Returned artefacts are shared."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`max_bytes` limits the total size of the arrays."""
        self._entries: TLRUCache[str, tuple[Artefact, float]] = TLRUCache(
            max_bytes, lambda _, entry, now: now + entry[1], clock, lambda entry: entry[0].nbytes()
        )
        self._lock = threading.Lock()

    def get(self, key: str) -> Artefact | None:
        """The artefact, or None."""
        with self._lock:
            entry = self._entries.get(key)
        return entry[0] if entry else None

    def put(self, key: str, artefact: Artefact, lifetime: float | None) -> None:
        """Store `artefact` and evict others if necessary."""
        with self._lock, suppress(ValueError):  # larger than the cache
            self._entries[key] = artefact, math.inf if lifetime is None else lifetime
