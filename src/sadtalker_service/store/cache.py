"""The cache of artefacts: what the pipeline asks of it, and one that lives in memory.

Losing a cache loses time only: everything in it can be computed again.
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
    """The cache itself failed (disk full, no permission, server away). The work can go on without it."""


class ArtefactCache(Protocol):
    """Keeps artefacts under keys (`keys.py`) for a time. Safe to use from several threads."""

    def get(self, key: str) -> Artefact | None:
        """The artefact, or None where there is none that can be read. Raises `CacheUnavailable`."""

    def put(self, key: str, artefact: Artefact, lifetime: float | None) -> None:
        """Keep `artefact` for `lifetime` seconds, or without end if None. Raises `CacheUnavailable`."""


class NoCache:
    """Keeps nothing."""

    def get(self, key: str) -> Artefact | None:
        """Always None."""

    def put(self, key: str, artefact: Artefact, lifetime: float | None) -> None:
        """Do nothing."""


class MemoryCache:
    """Keeps artefacts in this process, the least recently used go first. What it hands out is shared."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`max_bytes` counts the arrays."""
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
        """Keep `artefact`; others make room for it."""
        with self._lock, suppress(ValueError):  # it is larger than the cache
            self._entries[key] = artefact, math.inf if lifetime is None else lifetime
