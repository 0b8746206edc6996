"""The figures are measured values."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import redis
from tests.support.jobs import OUTCOME, make_session

from sadtalker_service.domain import VideoResult
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.statistics import Statistics


def made(seconds: float, video_seconds: float = 2.0, saved: float = 0.0) -> VideoResult:
    """A video."""
    return replace(OUTCOME, total_seconds=seconds, video_seconds=video_seconds, saved_seconds=saved)


def test_nothing_is_known_without_measurements(queue: redis.Redis) -> None:
    snapshot = Statistics(queue).snapshot()
    assert snapshot.hit_rate is None
    assert snapshot.speedup("cached_avatar") is None
    assert snapshot.speedup("repeated") is None
    assert snapshot.kinds["first"].average_seconds is None
    assert snapshot.kinds["first"].median_seconds is None
    assert snapshot.rates == {}
    assert set(snapshot.distribution.values()) == {0}


def test_averages_and_medians_per_kind_of_request(queue: redis.Redis) -> None:
    statistics = Statistics(queue)
    for seconds in (1.0, 2.0, 6.0):
        statistics.job_done("first", "vip", "pattern", made(seconds))
    statistics.job_done("cached_avatar", "standard", "pattern", made(1.0, 4.0, saved=0.5))
    statistics.answered_again("vip", 0.01, made(1.0, saved=0.5))
    snapshot = statistics.snapshot()
    first, cached = snapshot.kinds["first"], snapshot.kinds["cached_avatar"]
    assert (first.count, first.average_seconds, first.median_seconds) == (3, 3.0, 2.0)
    assert first.seconds_per_video_second == pytest.approx(1.5)
    assert first.average_video_seconds == 2.0
    assert cached.saved_seconds == 0.5
    repeated = snapshot.kinds["repeated"]
    assert (repeated.count, repeated.average_seconds) == (1, pytest.approx(0.01))
    assert repeated.seconds_per_video_second is None
    assert snapshot.speedup("first") == 1.0
    assert snapshot.speedup("cached_avatar") == pytest.approx(1.5)
    assert snapshot.speedup("repeated") == pytest.approx(150.0)
    assert snapshot.speedup("first", "cached_avatar", "repeated") == pytest.approx((9.0 + 1.5 + 1.5) / 10.01)
    assert snapshot.without_cache_seconds == pytest.approx((9.0 + 1.5) / 4)


def test_rate_follows_recent_jobs(queue: redis.Redis) -> None:
    statistics = Statistics(queue)
    statistics.job_done("first", "vip", "pattern", made(2.0))
    assert statistics.snapshot().rates["pattern"] == pytest.approx(1.0)
    statistics.job_done("first", "vip", "pattern", made(4.0))
    assert statistics.snapshot().rates["pattern"] == pytest.approx(1.2)
    for _ in range(50):
        statistics.job_done("first", "vip", "pattern", made(6.0))
    assert statistics.snapshot().rates["pattern"] == pytest.approx(3.0, rel=1e-3)
    assert statistics.snapshot().rates == {"pattern": pytest.approx(3.0, rel=1e-3)}


def test_cache_lookups_are_counted_by_kind(queue: redis.Redis) -> None:
    statistics = Statistics(queue)
    for hit in (True, True, False):
        statistics.count_cache("face_mesh", hit)
    statistics.count_cache("motion", False)
    snapshot = statistics.snapshot()
    assert {kind: (figures.hits, figures.misses) for kind, figures in snapshot.cache.items()} == {
        "face_mesh": (2, 1),
        "motion": (0, 1),
    }
    assert snapshot.cache["face_mesh"].rate == pytest.approx(2 / 3)
    assert snapshot.hit_rate == 0.5


def test_generation_times_fall_into_buckets(queue: redis.Redis) -> None:
    statistics = Statistics(queue)
    for seconds in (0.1, 0.5, 0.51, 7.0, 5000.0):
        statistics.job_done("first", "vip", "pattern", made(seconds))
    statistics.answered_again("vip", 0.001, None)
    distribution = {bound: n for bound, n in statistics.snapshot().distribution.items() if n}
    assert distribution == {0.5: 2, 1.0: 1, 10.0: 1, math.inf: 1}


def test_sessions_are_counted_where_they_end(sessions: SessionStore, queue: redis.Redis) -> None:
    sessions.accept(make_session("one"))
    sessions.accept(make_session("two", "vip", key="other"))
    sessions.accept(make_session("follows"))
    sessions.begin("one", "w1")
    sessions.finish("one", 1, OUTCOME)
    sessions.finish("one", 1, OUTCOME)
    sessions.cancel("two")
    sessions.accept(make_session("again", "vip"))
    snapshot = Statistics(queue).snapshot()
    assert snapshot.accepted == {"vip": 2, "standard": 2}
    assert snapshot.ended == {
        "vip": {"cancelled": 1, "failed": 0, "ready": 1},
        "standard": {"cancelled": 0, "failed": 0, "ready": 2},
    }
    assert (snapshot.reused, snapshot.shared) == (1, 1)
