"""Response bodies of the statistics and health routes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from sadtalker_service.state.records import Lane


class LaneFigures(BaseModel):
    """Load of one lane."""

    queue_size: int = Field(ge=0, description="Number of waiting sessions.")
    oldest_seconds: float | None = Field(description="How long the oldest of them has waited.")


class QueueStatus(BaseModel):
    """Load of all lanes."""

    queue_size: int = Field(ge=0, description="Number of waiting sessions in both lanes.")
    processing: bool = Field(description="Whether a video is being rendered.")
    current_session: str | None = Field(description="First eight characters of the id of a running session.")
    running: int = Field(ge=0)
    lanes: dict[Lane, LaneFigures]


class HomePerformance(BaseModel):
    """Averages over the videos made so far."""

    standard_processing: str = Field(description="Requests whose avatar was not prepared.")
    with_cache: str = Field(description="Requests whose avatar was prepared.")
    speedup: str


class CacheStatus(BaseModel):
    """State of the cache."""

    redis_connected: bool
    total_cached_images: int = Field(ge=0)
    cache_hit_rate: str = Field(examples=["85.5%", "not measured yet"])


class HomeEngine(BaseModel):
    """The default engine."""

    name: str
    enhancers: list[str] = Field(description="Face and background enhancers; others are ignored.")
    gestures: list[str]


class Home(BaseModel):
    """Overview of the service."""

    service: str
    version: str
    status: Literal["running", "draining", "degraded"]
    description: str
    performance: HomePerformance
    cache_status: CacheStatus
    queue_status: QueueStatus
    engine: HomeEngine | None = Field(description="Null until a worker has loaded an engine.")
    endpoints: dict[str, str]


class RedisStatus(BaseModel):
    """State of the cache server."""

    connected: bool
    memory_used: str | None
    memory_used_bytes: int | None
    total_keys: int | None
    uptime: int | None = Field(description="Seconds.")


class SessionFigures(BaseModel):
    """Counts of sessions."""

    active_sessions: int = Field(ge=0, description="Waiting or running.")
    total_processed: int = Field(ge=0, description="Accepted so far.")
    total_generated: int = Field(ge=0, description="Videos rendered so far.")


class ProcessingTime(BaseModel):
    """Averages as texts and as numbers; null until measured."""

    first_time: str
    with_cache: str
    speedup: str
    first_time_seconds: float | None
    with_cache_seconds: float | None
    repeated_seconds: float | None
    speedup_factor: float | None


class CachePerformance(BaseModel):
    """How well the cache works."""

    cache_hit_rate: float | None = Field(description="Percentage; null before the first lookup.")
    avg_processing_time: ProcessingTime


class KindHits(BaseModel):
    """Cache hits and misses of one kind of artefact."""

    hits: int
    misses: int
    hit_rate: float | None = Field(description="Percentage.")


class CacheStatistics(BaseModel):
    """Figures of the cache."""

    redis_status: RedisStatus
    cached_data: dict[str, int] = Field(description="Kind of artefact -> number of cached ones.")
    requests: dict[str, KindHits]
    sessions: SessionFigures
    performance: CachePerformance


class KindOfRequest(BaseModel):
    """Times of one kind of request; null until measured."""

    count: int
    average_seconds: float | None
    median_seconds: float | None
    average_video_seconds: float | None
    real_time_factor: float | None
    saved_seconds: float


class PerformanceTargets(BaseModel):
    """Measured times, under the names that existing clients use."""

    with_cache: str
    without_cache: str
    target_speedup: str


class GenerationStatistics(BaseModel):
    """Figures of the rendered videos."""

    total_videos_generated: int
    generation_time_distribution: dict[str, int] = Field(
        description="Upper bound of the bucket -> number of videos.", examples=[{"<=0.5s": 3, "<=1s": 1}]
    )
    performance_targets: PerformanceTargets
    optimization_status: dict[str, str]
    by_kind: dict[str, KindOfRequest]
    by_lane: dict[Lane, dict[str, int]] = Field(description="Lane -> number of sessions by final state.")


class PerformanceSummary(BaseModel):
    """The main figures."""

    total_images_processed: int
    total_videos_generated: int
    cache_hit_rate: float | None
    average_speedup: str
    average_speedup_factor: float | None


class ServiceHealth(BaseModel):
    """Whether the parts of the service are available."""

    redis_connected: bool
    models_loaded: bool
    queue_processing: bool
    workers: int


class HitRate(BaseModel):
    """The hit rate once more, where older clients look for it."""

    cache_hit_rate: float | None


class Stats(BaseModel):
    """All statistics."""

    cache_statistics: CacheStatistics
    generation_statistics: GenerationStatistics
    queue_status: QueueStatus
    performance_summary: PerformanceSummary
    service_health: ServiceHealth
    performance: HitRate


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"]


class Check(BaseModel):
    """One condition of readiness."""

    ok: bool
    required: bool = Field(description="Whether the service needs it to be ready.")
    detail: str | None = None


class Ready(BaseModel):
    """Whether the service accepts work."""

    status: Literal["ready", "degraded", "not_ready"]
    checks: dict[str, Check]


class ErrorEntry(BaseModel):
    """One error code."""

    code: str
    status: int
    retryable: bool
    meaning: str


class ErrorPage(BaseModel):
    """All error codes."""

    errors: dict[str, ErrorEntry]
