"""The cache of artefacts: what the pipeline asks of it, and one that lives in memory.

Losing a cache loses time only: everything in it can be computed again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

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
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[str, tuple[Artefact, float | None]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> Artefact | None:
        """The artefact, or None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            artefact, expires = entry
            if expires is not None and expires <= self._clock():
                self._remove(key)
                return None
            self._entries.move_to_end(key)
            return artefact

    def put(self, key: str, artefact: Artefact, lifetime: float | None) -> None:
        """Keep `artefact`; others make room for it."""
        with self._lock:
            self._remove(key)
            self._entries[key] = (artefact, None if lifetime is None else self._clock() + lifetime)
            self._bytes += artefact.nbytes()
            while self._bytes > self._max_bytes:
                self._remove(next(iter(self._entries)))

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry:
            self._bytes -= entry[0].nbytes()
