"""What the service tells of itself."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from sadtalker_service.state.records import Lane


class LaneFigures(BaseModel):
    """A lane."""

    queue_size: int = Field(ge=0, description="Sessions that wait.")
    oldest_seconds: float | None = Field(description="For how long the first of them has waited.")


class QueueStatus(BaseModel):
    """All lanes."""

    queue_size: int = Field(ge=0, description="Sessions that wait, of both lanes.")
    processing: bool = Field(description="Whether any video is being made.")
    current_session: str | None = Field(description="First eight characters of the id of a running session.")
    running: int = Field(ge=0)
    lanes: dict[Lane, LaneFigures]


class HomePerformance(BaseModel):
    """Averages over the videos made so far."""

    standard_processing: str = Field(description="A request whose avatar was not prepared.")
    with_cache: str = Field(description="One whose avatar was.")
    speedup: str


class CacheStatus(BaseModel):
    """The cache."""

    redis_connected: bool
    total_cached_images: int = Field(ge=0)
    cache_hit_rate: str = Field(examples=["85.5%", "not measured yet"])


class HomeEngine(BaseModel):
    """The engine that makes a video where the request names none."""

    name: str
    enhancers: list[str] = Field(description="Of faces and of backgrounds; others are left out.")
    gestures: list[str]


class Home(BaseModel):
    """The service."""

    service: str
    version: str
    status: Literal["running", "draining", "degraded"]
    description: str
    performance: HomePerformance
    cache_status: CacheStatus
    queue_status: QueueStatus
    engine: HomeEngine | None = Field(description="Null while no worker has loaded one.")
    endpoints: dict[str, str]


class RedisStatus(BaseModel):
    """The cache's server."""

    connected: bool
    memory_used: str | None
    memory_used_bytes: int | None
    total_keys: int | None
    uptime: int | None = Field(description="Seconds.")


class SessionFigures(BaseModel):
    """Sessions."""

    active_sessions: int = Field(ge=0, description="Waiting or running.")
    total_processed: int = Field(ge=0, description="Accepted so far.")
    total_generated: int = Field(ge=0, description="Videos that were made.")


class ProcessingTime(BaseModel):
    """Averages as texts, and their numeric twins; null while nothing was measured."""

    first_time: str
    with_cache: str
    speedup: str
    first_time_seconds: float | None
    with_cache_seconds: float | None
    repeated_seconds: float | None
    speedup_factor: float | None


class CachePerformance(BaseModel):
    """How well the cache works."""

    cache_hit_rate: float | None = Field(description="Per cent; null while nothing was asked for.")
    avg_processing_time: ProcessingTime


class KindHits(BaseModel):
    """How often artefacts of one kind were asked for."""

    hits: int
    misses: int
    hit_rate: float | None = Field(description="Per cent.")


class CacheStatistics(BaseModel):
    """The cache in figures."""

    redis_status: RedisStatus
    cached_data: dict[str, int] = Field(description="Kind of artefact -> how many are cached.")
    requests: dict[str, KindHits]
    sessions: SessionFigures
    performance: CachePerformance


class KindOfRequest(BaseModel):
    """What requests of one kind took; null while nothing was measured."""

    count: int
    average_seconds: float | None
    median_seconds: float | None
    average_video_seconds: float | None
    real_time_factor: float | None
    saved_seconds: float


class PerformanceTargets(BaseModel):
    """What was measured, under the names that clients of the service know."""

    with_cache: str
    without_cache: str
    target_speedup: str


class GenerationStatistics(BaseModel):
    """The videos."""

    total_videos_generated: int
    generation_time_distribution: dict[str, int] = Field(
        description="Upper bound of the bucket -> number of videos.", examples=[{"<=0.5s": 3, "<=1s": 1}]
    )
    performance_targets: PerformanceTargets
    optimization_status: dict[str, str]
    by_kind: dict[str, KindOfRequest]
    by_lane: dict[Lane, dict[str, int]] = Field(description="Lane -> how its sessions ended.")


class PerformanceSummary(BaseModel):
    """In short."""

    total_images_processed: int
    total_videos_generated: int
    cache_hit_rate: float | None
    average_speedup: str
    average_speedup_factor: float | None


class ServiceHealth(BaseModel):
    """Whether the parts are there."""

    redis_connected: bool
    models_loaded: bool
    queue_processing: bool
    workers: int


class HitRate(BaseModel):
    """Alias."""

    cache_hit_rate: float | None


class Stats(BaseModel):
    """Everything that is counted."""

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
    """One of the things that readiness needs."""

    ok: bool
    required: bool = Field(description="Whether the service is not ready without it.")
    detail: str | None = None


class Ready(BaseModel):
    """Whether the service takes work."""

    status: Literal["ready", "degraded", "not_ready"]
    checks: dict[str, Check]


class ErrorEntry(BaseModel):
    """A code of an error."""

    code: str
    status: int
    retryable: bool
    meaning: str


class ErrorPage(BaseModel):
    """The codes of errors."""

    errors: dict[str, ErrorEntry]
