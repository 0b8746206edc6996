"""Response bodies of the statistics routes and the front page."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sadtalker_service import __version__
from sadtalker_service.api.presenters.formatting import about, per_cent, rounded, times_faster
from sadtalker_service.api.queue_stats import QueueStats
from sadtalker_service.api.schemas.avatars import NOT_MEASURED
from sadtalker_service.api.schemas.stats import (
    CachePerformance,
    CacheStatistics,
    CacheStatus,
    GenerationStatistics,
    HitRate,
    Home,
    HomeEngine,
    HomePerformance,
    KindHits,
    KindOfRequest,
    LaneFigures,
    PerformanceSummary,
    PerformanceTargets,
    ProcessingTime,
    QueueStatus,
    RedisStatus,
    ServiceHealth,
    SessionFigures,
    Stats,
)
from sadtalker_service.engines.port import EngineCard
from sadtalker_service.state.statistics import KindFigures, Snapshot
from sadtalker_service.state.viewer import Viewer

ENDPOINTS: Mapping[str, str] = {
    "avatar_upload": "POST /api/avatar/upload",
    "avatar_status": "GET /api/avatar/status/{image_id}",
    "vip_generate": "POST /api/vip/generate",
    "standard_generate": "POST /api/standard/generate",
    "status": "GET /api/{lane}/status/{session_id}",
    "events": "GET /api/{lane}/events/{session_id}",
    "stream": "GET /api/{lane}/stream/{session_id}",
    "download": "GET /api/{lane}/download/{session_id}",
    "speech_timeline": "POST /api/speech/timeline",
    "cache_stats": "GET /api/cache/stats",
    "documentation": "/docs",
    "studio": "/studio/",
}
DESCRIPTION = "Turns a source image and driven audio into a talking-head video."


def queue_status(queue_stats: QueueStats, viewer: Viewer, now: float) -> QueueStatus:
    """Load of all lanes, as `viewer` may see it; `now` in seconds since 1970."""
    lanes = {
        lane: LaneFigures(
            queue_size=load.waiting,
            oldest_seconds=None if load.oldest_at is None else rounded(max(0.0, now - load.oldest_at)),
        )
        for lane, load in queue_stats.lanes.items()
    }
    return QueueStatus(
        queue_size=sum(figures.queue_size for figures in lanes.values()),
        processing=bool(queue_stats.running),
        current_session=queue_stats.current(viewer),
        running=len(queue_stats.running),
        lanes=lanes,
    )


def home(
    figures: Snapshot | None,
    queue_stats: QueueStats | None,
    images: int,
    viewer: Viewer,
    engine: EngineCard | None,
    *,
    draining: bool,
    cache_up: bool,
    now: float,
) -> Home:
    """The overview. Without the queue store there are no `figures` and no `queue_stats`."""
    hit_rate = per_cent(figures.hit_rate) if figures else None
    up = figures is not None and cache_up
    return Home(
        service="SadTalker microservice",
        version=__version__,
        status="draining" if draining else "running" if up else "degraded",
        description=DESCRIPTION,
        performance=HomePerformance(
            standard_processing=about(figures.without_cache_seconds) if figures else NOT_MEASURED,
            with_cache=about(figures.kinds["cached_avatar"].average_seconds) if figures else NOT_MEASURED,
            speedup=times_faster(figures.speedup("cached_avatar")) if figures else NOT_MEASURED,
        ),
        cache_status=CacheStatus(
            redis_connected=cache_up,
            total_cached_images=images,
            cache_hit_rate=NOT_MEASURED if hit_rate is None else f"{hit_rate}%",
        ),
        queue_status=queue_status(queue_stats or QueueStats({}, ()), viewer, now),
        engine=HomeEngine(
            name=engine.name,
            enhancers=list(engine.capabilities.enhancers),
            gestures=list(engine.capabilities.gestures),
        )
        if engine
        else None,
        endpoints=dict(ENDPOINTS),
    )


def stats(
    figures: Snapshot,
    queue_stats: QueueStats,
    viewer: Viewer,
    *,
    redis_status: RedisStatus,
    cached: Mapping[str, int],
    images: int,
    warm_workers: int,
    now: float,
) -> Stats:
    """All statistics. `cached`: kind of artefact -> number; `images`: number of known source images."""
    hit_rate = per_cent(figures.hit_rate)
    average = figures.speedup("first", "cached_avatar", "repeated")
    generated = figures.kinds["first"].count + figures.kinds["cached_avatar"].count
    return Stats(
        cache_statistics=CacheStatistics(
            redis_status=redis_status,
            cached_data=dict(cached),
            requests={
                kind: KindHits(hits=asked.hits, misses=asked.misses, hit_rate=per_cent(asked.rate))
                for kind, asked in sorted(figures.cache.items())
            },
            sessions=SessionFigures(
                active_sessions=sum(load.waiting for load in queue_stats.lanes.values())
                + len(queue_stats.running),
                total_processed=sum(figures.accepted.values()),
                total_generated=generated,
            ),
            performance=CachePerformance(
                cache_hit_rate=hit_rate, avg_processing_time=_processing_time(figures)
            ),
        ),
        generation_statistics=_generation(figures, generated),
        queue_status=queue_status(queue_stats, viewer, now),
        performance_summary=PerformanceSummary(
            total_images_processed=images,
            total_videos_generated=generated,
            cache_hit_rate=hit_rate,
            average_speedup=_with_caching(average),
            average_speedup_factor=_two_digits(average),
        ),
        service_health=ServiceHealth(
            redis_connected=redis_status.connected,
            models_loaded=warm_workers > 0,
            queue_processing=bool(queue_stats.running),
            workers=warm_workers,
        ),
        performance=HitRate(cache_hit_rate=hit_rate),
    )


def _generation(figures: Snapshot, generated: int) -> GenerationStatistics:
    return GenerationStatistics(
        total_videos_generated=generated,
        generation_time_distribution={
            "more" if math.isinf(bound) else f"<={bound:g}s": count
            for bound, count in figures.distribution.items()
        },
        performance_targets=PerformanceTargets(
            with_cache=about(figures.kinds["cached_avatar"].average_seconds),
            without_cache=about(figures.without_cache_seconds),
            target_speedup=times_faster(figures.speedup("cached_avatar")),
        ),
        optimization_status={
            "cache_optimization": _saved(figures.kinds["cached_avatar"]),
            "audio_optimization": _asked(figures, "motion"),
            "render_optimization": _pace(figures.kinds["cached_avatar"]),
        },
        by_kind={kind: _kind(of_kind) for kind, of_kind in figures.kinds.items()},
        by_lane={
            lane: {str(state): count for state, count in ended.items()}
            for lane, ended in figures.ended.items()
        },
    )


def _processing_time(figures: Snapshot) -> ProcessingTime:
    first, cached = figures.without_cache_seconds, figures.kinds["cached_avatar"]
    speedup = figures.speedup("cached_avatar")
    return ProcessingTime(
        first_time=about(first),
        with_cache=about(cached.average_seconds),
        speedup=times_faster(speedup),
        first_time_seconds=rounded(first),
        with_cache_seconds=rounded(cached.average_seconds),
        repeated_seconds=rounded(figures.kinds["repeated"].average_seconds),
        speedup_factor=_two_digits(speedup),
    )


def _kind(figures: KindFigures) -> KindOfRequest:
    pace = figures.seconds_per_video_second
    return KindOfRequest(
        count=figures.count,
        average_seconds=rounded(figures.average_seconds),
        median_seconds=rounded(figures.median_seconds),
        average_video_seconds=rounded(figures.average_video_seconds),
        real_time_factor=_two_digits(1.0 / pace) if pace else None,
        saved_seconds=round(figures.saved_seconds, 3),
    )


def _saved(figures: KindFigures) -> str:
    return f"{figures.saved_seconds:.1f} s saved" if figures.count else NOT_MEASURED


def _asked(figures: Snapshot, kind: str) -> str:
    asked = figures.cache.get(kind)
    rate = per_cent(asked.rate) if asked else None
    return NOT_MEASURED if rate is None else f"{rate}% of audio files were cached"


def _pace(figures: KindFigures) -> str:
    pace = figures.seconds_per_video_second
    return f"{1.0 / pace:.1f} times real time" if pace else NOT_MEASURED


def _with_caching(speedup: float | None) -> str:
    return NOT_MEASURED if speedup is None else f"{times_faster(speedup)} with caching"


def _two_digits(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
