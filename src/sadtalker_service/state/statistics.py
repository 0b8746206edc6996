"""Measured figures of the service: counters, averages, rates. Nothing is assumed.

There are three kinds of requests: `first` (some artefact of the avatar had to be computed), `cached_avatar`
(the avatar came from the cache, the video was rendered) and `repeated` (the video already existed).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import redis

from sadtalker_service.domain import VideoResult
from sadtalker_service.state.queue_server import QueueServer
from sadtalker_service.state.records import ENDED, LANES, Lane, SessionState

RequestKind = Literal["first", "cached_avatar", "repeated"]
REQUEST_KINDS: tuple[RequestKind, ...] = ("first", "cached_avatar", "repeated")

BUCKETS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds of the distribution of generation times, seconds. One more bucket has no bound."""

RECENT = 500
"""Number of durations kept per kind, for the median."""

RATE_WEIGHT = 0.2
"""Weight of the latest job in an engine's rate. After ten jobs, a tenth of the old value remains."""


@dataclass(frozen=True)
class KindFigures:
    """Times of one kind of request. None if not measured."""

    count: int
    average_seconds: float | None
    """From the start of the work to the published video; for `repeated`, from the request to its response."""
    median_seconds: float | None
    """Of the last 500 requests."""
    average_video_seconds: float | None
    seconds_per_video_second: float | None
    """Work per second of video. Its inverse is the real-time factor."""
    saved_seconds: float
    """Total time saved by cached artefacts, or for `repeated` by finished videos."""

    @property
    def without_cache_seconds(self) -> float | None:
        """Average time without a cache, from the times measured when the artefacts were computed."""
        if self.average_seconds is None:
            return None
        return self.average_seconds + self.saved_seconds / self.count


@dataclass(frozen=True)
class CacheFigures:
    """Cache lookups of one kind of artefact."""

    hits: int
    misses: int

    @property
    def rate(self) -> float | None:
        """Share of hits, 0..1; None without lookups."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


@dataclass(frozen=True)
class Snapshot:
    """All figures at one moment."""

    kinds: Mapping[RequestKind, KindFigures]
    cache: Mapping[str, CacheFigures]
    """Kind of artefact -> its lookups."""
    accepted: Mapping[Lane, int]
    """Accepted sessions."""
    ended: Mapping[Lane, Mapping[SessionState, int]]
    """Ended sessions by final state."""
    reused: int
    """Sessions that were ready at once, because their video existed."""
    shared: int
    """Sessions that became ready through the work for an equal one."""
    rates: Mapping[str, float]
    """Engine -> seconds of work per second of video, weighted towards recent jobs."""
    distribution: Mapping[float, int]
    """Upper bound in seconds (the last is infinite) -> number of videos that took at most this long, and
    longer than the previous bound."""

    @property
    def hit_rate(self) -> float | None:
        """Share of hits over all kinds of artefacts, 0..1; None without lookups."""
        return CacheFigures(
            sum(figures.hits for figures in self.cache.values()),
            sum(figures.misses for figures in self.cache.values()),
        ).rate

    def speedup(self, *kinds: RequestKind) -> float | None:
        """How much faster requests of these kinds were than they would have been without a cache. None until
        one was measured."""
        taken, without = self._totals(kinds)
        return _ratio(without, taken)

    @property
    def without_cache_seconds(self) -> float | None:
        """Average time of a video without a cache; None until a video was rendered."""
        kinds: tuple[RequestKind, ...] = ("first", "cached_avatar")
        return _ratio(self._totals(kinds)[1], sum(self.kinds[kind].count for kind in kinds))

    def _totals(self, kinds: Sequence[RequestKind]) -> tuple[float, float]:
        """Time that requests of these kinds took, and would have taken without a cache, seconds."""
        figures = [self.kinds[kind] for kind in kinds]
        taken = sum(one.count * (one.average_seconds or 0.0) for one in figures)
        return taken, taken + sum(one.saved_seconds for one in figures)


class Statistics:
    """Counters on the queue server. Every method raises `StoreUnavailable`."""

    def __init__(self, queue: redis.Redis) -> None:
        self._queue = QueueServer(queue)

    def count_cache(self, kind: str, hit: bool) -> None:
        """Count a lookup of an artefact of this kind."""
        self._queue.command("HINCRBY", "stats:cache", f"{kind}:{'hit' if hit else 'miss'}", 1)

    def job_done(self, kind: RequestKind, lane: Lane, engine: str, outcome: VideoResult) -> None:
        """Record a rendered video. Sessions are counted where they end, not here."""
        self._measure(kind, lane, outcome.total_seconds, outcome.video_seconds, outcome.saved_seconds, engine)

    def answered_again(self, lane: Lane, seconds: float, outcome: VideoResult | None) -> None:
        """Record a request answered after `seconds` with an existing video, whose rendering `outcome`
        describes."""
        cost = outcome.total_seconds + outcome.saved_seconds if outcome else 0.0
        self._measure("repeated", lane, seconds, 0.0, max(0.0, cost - seconds), "")

    def snapshot(self) -> Snapshot:
        """All figures, read in one round trip."""
        sessions, cache, rates, distribution, *kinds = self._queue.commands(
            *(("HGETALL", f"stats:{name}") for name in ("sessions", "cache", "rates", "distribution")),
            *(("HGETALL", f"stats:kind:{kind}") for kind in REQUEST_KINDS),
            *(("LRANGE", f"stats:recent:{kind}", 0, RECENT - 1) for kind in REQUEST_KINDS),
        )
        count = _Counts(sessions)
        sums, recent = kinds[: len(REQUEST_KINDS)], kinds[len(REQUEST_KINDS) :]
        return Snapshot(
            kinds={
                kind: _kind_figures(_decoded(sums[index]), [float(value) for value in recent[index]])
                for index, kind in enumerate(REQUEST_KINDS)
            },
            cache=_cache_figures(_decoded(cache)),
            accepted={lane: count(f"accepted:{lane}") for lane in LANES},
            ended={
                lane: {state: count(f"ended:{lane}:{state}") for state in sorted(ENDED)} for lane in LANES
            },
            reused=count("reused"),
            shared=count("shared"),
            rates={engine: float(rate) for engine, rate in sorted(_decoded(rates).items())},
            distribution={
                bound: int(_decoded(distribution).get(str(bound), 0)) for bound in (*BUCKETS, math.inf)
            },
        )

    def _measure(
        self, kind: RequestKind, lane: Lane, seconds: float, video_seconds: float, saved: float, engine: str
    ) -> None:
        bucket = next((bound for bound in BUCKETS if seconds <= bound), math.inf)
        self._queue.named_script(
            "measure",
            kind=kind,
            lane=lane,
            seconds=seconds,
            video_seconds=video_seconds,
            saved=saved,
            bucket=bucket,
            engine=engine,
            weight=RATE_WEIGHT,
            kept=RECENT,
        )


class _Counts:
    """Counters; one that was never incremented is 0."""

    def __init__(self, raw: Mapping[bytes, bytes]) -> None:
        self._values = _decoded(raw)

    def __call__(self, name: str) -> int:
        return int(self._values.get(name, 0))


def _kind_figures(sums: Mapping[str, str], recent: list[float]) -> KindFigures:
    count = int(sums.get("count", 0))
    seconds, video_seconds = float(sums.get("seconds", 0)), float(sums.get("video_seconds", 0))
    return KindFigures(
        count=count,
        average_seconds=seconds / count if count else None,
        median_seconds=median(recent) if recent else None,
        average_video_seconds=video_seconds / count if video_seconds else None,
        seconds_per_video_second=_ratio(seconds, video_seconds),
        saved_seconds=float(sums.get("saved_seconds", 0)),
    )


def _cache_figures(counts: Mapping[str, str]) -> dict[str, CacheFigures]:
    kinds = sorted({name.rpartition(":")[0] for name in counts})
    return {
        kind: CacheFigures(int(counts.get(f"{kind}:hit", 0)), int(counts.get(f"{kind}:miss", 0)))
        for kind in kinds
    }


def _ratio(value: float | None, by: float | None) -> float | None:
    return value / by if value and by else None


def _decoded(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in raw.items()}
