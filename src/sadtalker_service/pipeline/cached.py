"""Looks in the cache before computing, and counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sadtalker_service.domain import Artefact
from sadtalker_service.store.cache import ArtefactCache, CacheUnavailable
from sadtalker_service.store.keys import SECONDS, Lifetime


@dataclass
class CacheLog:
    """What the cache was asked for, and how it went."""

    hits: list[str] = field(default_factory=list)
    """Kinds of artefacts that were there."""
    misses: list[str] = field(default_factory=list)
    """Kinds of artefacts that had to be computed."""
    problems: list[str] = field(default_factory=list)
    """Why the cache could not be used, each reason once."""


class CachedComputation:
    """Gives artefacts from the cache, or computes and keeps them. A cache that fails costs time only."""

    def __init__(self, cache: ArtefactCache) -> None:
        self._cache = cache
        self.log = CacheLog()

    def artefact(self, kind: str, key: str, lifetime: Lifetime, compute: Callable[[], Artefact]) -> Artefact:
        """The artefact under `key`; `kind` is the name under which it is counted."""
        found = self._get(key)
        if found is not None:
            self.log.hits.append(kind)
            return found
        self.log.misses.append(kind)
        computed = compute()
        try:
            self._cache.put(key, computed, SECONDS[lifetime])
        except CacheUnavailable as error:
            self._note(error)
        return computed

    def _get(self, key: str) -> Artefact | None:
        try:
            return self._cache.get(key)
        except CacheUnavailable as error:
            self._note(error)
            return None

    def _note(self, error: CacheUnavailable) -> None:
        if str(error) not in self.log.problems:
            self.log.problems.append(str(error))
