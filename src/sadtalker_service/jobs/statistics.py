"""What the service has measured of itself: counters, averages, rates. Nothing here is assumed.

Three kinds of requests are told apart: `first` (something of the avatar had to be computed),
`cached_avatar` (the avatar came out of the cache, the video was made) and `repeated` (the video was there).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import redis

from sadtalker_service.jobs.queue_server import QueueServer
from sadtalker_service.jobs.records import Lane, Outcome, SessionState

RequestKind = Literal["first", "cached_avatar", "repeated"]
REQUEST_KINDS: tuple[RequestKind, ...] = ("first", "cached_avatar", "repeated")

BUCKETS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds of the distribution of generation times, seconds; one more bucket has no bound."""


@dataclass(frozen=True)
class KindFigures:
    """What requests of one kind took. None where nothing was measured."""

    count: int
    average_seconds: float | None
    """From the start of the work to the published video; for `repeated`, from the request to its answer."""
    median_seconds: float | None
    """Of the last 500."""
    average_video_seconds: float | None
    seconds_per_video_second: float | None
    """Work for a second of video; its inverse is the real-time factor."""
    saved_seconds: float
    """What cached artefacts have saved, in total."""


@dataclass(frozen=True)
class CacheFigures:
    """How often artefacts of one kind were asked for."""

    hits: int
    misses: int

    @property
    def rate(self) -> float | None:
        """Share of hits, 0..1; None if never asked."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


@dataclass(frozen=True)
class Snapshot:
    """All figures at one time."""

    kinds: Mapping[RequestKind, KindFigures]
    cache: Mapping[str, CacheFigures]
    """Kind of artefact -> how often it was asked for."""
    accepted: Mapping[Lane, int]
    """Sessions taken on so far."""
    ended: Mapping[Lane, Mapping[SessionState, int]]
    """Sessions by how they ended."""
    reused: int
    """Sessions that were ready at once, their video being there."""
    shared: int
    """Sessions that became ready through the work for an equal one."""
    rates: Mapping[str, float]
    """Engine -> seconds of work per second of video, recent jobs counting more."""
    distribution: Mapping[float, int]
    """Upper bound in seconds (the last is infinite) -> number of videos that took at most so long, and longer
    than the bound before."""

    @property
    def hit_rate(self) -> float | None:
        """Share of hits over all kinds of artefacts, 0..1; None if never asked."""

    def speedup(self, kind: RequestKind) -> float | None:
        """How much shorter requests of `kind` were than those of kind `first`: the ratio of the averages, per
        second of video for those that made one. None while one of them was not measured."""


class Statistics:
    """Counters on the queue's server. Every method raises `StoreUnavailable`."""

    def __init__(self, queue: redis.Redis) -> None:
        self._queue = QueueServer(queue)

    def count_cache(self, kind: str, hit: bool) -> None:
        """An artefact of `kind` was asked for."""

    def job_done(self, kind: RequestKind, lane: Lane, engine: str, outcome: Outcome) -> None:
        """A worker has made a video. Sessions are counted where they end, not here."""

    def answered_again(self, lane: Lane, seconds: float) -> None:
        """A request was answered with a video that was there, `seconds` after it came in."""

    def rate(self, engine: str) -> float | None:
        """Seconds of work per second of video, recent jobs counting more; None while nothing was measured."""

    def snapshot(self) -> Snapshot:
        """All figures; one round trip."""
