"""Looks in the cache before computing, and counts hits and misses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from sadtalker_service.domain import Artefact, Lifetime
from sadtalker_service.media.stopwatch import Clock
from sadtalker_service.store.cache import ArtefactCache, CacheUnavailable
from sadtalker_service.store.keys import SECONDS, window_key
from sadtalker_service.store.single_flight import NoSingleFlight, SingleFlight


@dataclass(frozen=True)
class CacheTerms:
    """How a cache is used."""

    lifetimes: Mapping[Lifetime, float | None] = field(default_factory=lambda: SECONDS)
    """Lifetime -> seconds, None for no expiry. `store.keys.lifetimes` reads them from the settings."""
    single_flight: SingleFlight = field(default_factory=NoSingleFlight)
    """Prevents two processes from computing the same artefact at the same time."""
    on_lookup: Callable[[str, bool], None] | None = None
    """Called with the kind of each requested artefact, and whether it was in the cache."""
    on_wait: Callable[[], None] | None = None
    """Called several times a second while another process computes the artefact; may raise `Cancelled`."""


@dataclass
class CacheLog:
    """The lookups of one job and their results."""

    hits: list[str] = field(default_factory=list)
    """Kinds of artefacts that were in the cache."""
    misses: list[str] = field(default_factory=list)
    """Kinds of artefacts that had to be computed."""
    problems: list[str] = field(default_factory=list)
    """Why the cache could not be used, each reason once."""
    saved_seconds: float = 0.0
    """Time saved by hits: what computing them took originally, minus what loading them took."""


@dataclass
class WindowsLog:
    """What was noticed while the windows of an artefact were computed."""

    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Windows:
    """An artefact that comes window by window, see `CachedComputation.windows`."""

    kind: str
    key: str
    lifetime: Lifetime
    compute: Callable[[], Iterator[Artefact]]
    log: WindowsLog


_PATIENCE_SECONDS = 3.0
"""Longest wait for a window of somebody else, who may draw more slowly. A window takes about a second."""
_POLL_SECONDS = 0.02


class CachedComputation:
    """Returns artefacts from the cache, or computes and stores them. A failing cache only costs time."""

    def __init__(
        self, cache: ArtefactCache, terms: CacheTerms | None = None, clock: Clock = time.perf_counter
    ) -> None:
        self._cache = cache
        self._terms = terms or CacheTerms()
        self._clock = clock
        self._available = True
        """Whether the last lookup got an answer."""
        self.log = CacheLog()

    def artefact(
        self,
        kind: str,
        key: str,
        lifetime: Lifetime,
        compute: Callable[[], Artefact],
        *,
        on_miss: Callable[[], None] | None = None,
    ) -> Artefact:
        """Return the artefact under `key`; it is counted under the name `kind`.

        If the first lookup misses, `on_miss` is called before the artefact is computed or waited for.
        """
        start = self._clock()
        found = self._get(key)
        if found is None and on_miss:
            on_miss()
        if found is None and not self._available:  # single flight needs the server too
            return self._compute(kind, key, lifetime, compute)
        while found is None:
            with self._terms.single_flight.acquire(key, self._terms.on_wait) as ours:
                # another process may have stored it while we waited, or just before we got the lock
                found = self._get(key)
                if found is None and ours:
                    return self._compute(kind, key, lifetime, compute)
        self._count(kind, hit=True)
        self.log.saved_seconds += max(0.0, found.seconds - (self._clock() - start))
        return found

    def windows(
        self,
        kind: str,
        key: str,
        lifetime: Lifetime,
        compute: Callable[[], Iterator[Artefact]],
        log: WindowsLog,
    ) -> Iterator[Artefact]:
        """Return the windows of an artefact that is computed piece by piece: from the cache, or as computed.

        Each window is stored on its own. `key` holds their number, and is written after the last one. `log`
        is stored with them: at the end it is as it was when they were computed. A second job that starts
        before the end takes each window as soon as it is stored. It computes them itself only if the first
        job gives up or is too slow.
        """
        work = _Windows(kind, key, lifetime, compute, log)
        start = self._clock()
        found = self._get(key)
        if found is not None:
            self._count(kind, hit=True)
            return self._kept_windows(found, self._clock() - start, work)
        if not self._available:  # single flight needs the server too
            self._count(kind, hit=False)
            return self._computed_windows(work)
        return self._shared_windows(work)

    def _shared_windows(self, work: _Windows) -> Iterator[Artefact]:
        """The windows, computed here or at this moment by somebody else."""
        with self._terms.single_flight.lead(work.key) as ours:
            if ours:
                self._count(work.kind, hit=False)
                yield from self._computed_windows(work)
                return
        number, since = 0, self._clock()
        while self._clock() - since < _PATIENCE_SECONDS:
            is_led = self._terms.single_flight.is_led(work.key)  # before looking: it may end in between
            part = self._get(window_key(work.key, number))
            if part is not None:
                if not number:
                    self._count(work.kind, hit=True)
                yield part
                number, since = number + 1, self._clock()
                continue
            whole = self._get(work.key)
            if whole is not None and whole.record["windows"] == number:
                work.log.warnings = tuple(whole.record.get("warnings", ()))
                return
            if not is_led:
                break
            if self._terms.on_wait:
                self._terms.on_wait()
            time.sleep(_POLL_SECONDS)
        self._count(work.kind, hit=False)
        yield from islice(self._computed_windows(work), number, None)

    def _kept_windows(self, found: Artefact, seconds: float, work: _Windows) -> Iterator[Artefact]:
        """The windows that were kept, and from the first that is missing on those that are computed again."""
        for number in range(found.record["windows"]):
            start = self._clock()
            part = self._get(window_key(work.key, number))
            seconds += self._clock() - start
            if part is None:
                self._count(work.kind, hit=False)
                yield from islice(self._computed_windows(work), number, None)
                return
            yield part
        work.log.warnings = tuple(found.record.get("warnings", ()))
        self.log.saved_seconds += max(0.0, found.seconds - seconds)

    def _computed_windows(self, work: _Windows) -> Iterator[Artefact]:
        seconds, number, kept = 0.0, 0, True
        windows = work.compute()
        while True:
            start = self._clock()
            part = next(windows, None)
            seconds += self._clock() - start
            if part is None:
                break
            kept = kept and self._put(window_key(work.key, number), part, work.lifetime)
            number += 1
            yield part
        if kept:
            said = {"windows": number, "warnings": list(work.log.warnings)}
            self._put(work.key, Artefact({}, said, seconds), work.lifetime)

    def _put(self, key: str, artefact: Artefact, lifetime: Lifetime) -> bool:
        """Whether the cache stored it."""
        try:
            self._cache.put(key, artefact, self._terms.lifetimes[lifetime])
        except CacheUnavailable as error:
            self._note(error)
            return False
        return True

    def _compute(self, kind: str, key: str, lifetime: Lifetime, compute: Callable[[], Artefact]) -> Artefact:
        self._count(kind, hit=False)
        start = self._clock()
        computed = compute()
        computed = replace(computed, seconds=self._clock() - start)
        self._put(key, computed, lifetime)
        return computed

    def _count(self, kind: str, *, hit: bool) -> None:
        (self.log.hits if hit else self.log.misses).append(kind)
        if self._terms.on_lookup:
            self._terms.on_lookup(kind, hit)

    def _get(self, key: str) -> Artefact | None:
        try:
            self._available = True
            return self._cache.get(key)
        except CacheUnavailable as error:
            self._available = False
            self._note(error)
            return None

    def _note(self, error: CacheUnavailable) -> None:
        if str(error) not in self.log.problems:
            self.log.problems.append(str(error))
