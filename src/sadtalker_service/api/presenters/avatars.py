"""Response bodies of the avatar routes."""

from __future__ import annotations

from collections.abc import Iterable

from sadtalker_service.api.errors import problem_of
from sadtalker_service.api.presenters.formatting import (
    about,
    iso_time,
    known_time,
    megabytes,
    per_cent,
    times_faster,
)
from sadtalker_service.api.schemas.avatars import (
    AvatarItem,
    AvatarLinks,
    AvatarList,
    AvatarProgress,
    AvatarStatus,
    CachedComponent,
    CacheSummary,
    Face,
    ImageSummaryAnswer,
    PerformanceImpact,
    PerformanceReady,
    UploadAnswer,
)
from sadtalker_service.jobs.summaries import ImageSummary
from sadtalker_service.state.records import AvatarRecord
from sadtalker_service.state.statistics import Snapshot

_MESSAGES = {
    "processing": "The avatar is being prepared.",
    "ready": "The avatar is ready. Its videos need no preparation.",
    "failed": "The avatar could not be prepared. See error.",
}


def upload_answer(
    record: AvatarRecord,
    *,
    summary: ImageSummary | None,
    expected_seconds: float | None,
    warnings: Iterable[str],
) -> UploadAnswer:
    """The response to an upload. `summary` is given for a ready avatar, which is `already_processed`."""
    status_url = _status_url(record)
    ready = summary is not None
    estimate = about(0.0 if ready else expected_seconds)
    return UploadAnswer(
        image_id=record.image_id,
        status="already_processed" if ready else "processing",
        preprocess_mode=record.mode,
        face_index=record.face_index,
        estimated_time="none, the avatar is ready" if ready else f"{estimate} (first time only)",
        message="The avatar is already prepared." if ready else _MESSAGES["processing"],
        next_step="POST /api/vip/generate" if ready else f"GET {status_url}",
        cached_stages=CachedComponentNames(summary).cached if summary else list(record.stages),
        cache_summary=cache_summary(summary) if summary else None,
        warnings=[*warnings, *record.warnings],
        links=AvatarLinks(
            status=status_url,
            summary=f"/api/image/{record.image_id}/summary",
            generate="/api/vip/generate",
        ),
    )


def avatar_status(record: AvatarRecord, summary: ImageSummary, figures: Snapshot | None) -> AvatarStatus:
    """State and progress of an avatar; `figures` for a ready one."""
    failure = record.failure
    shows = CachedComponentNames(summary)
    return AvatarStatus(
        image_id=record.image_id,
        status=record.state,
        preprocess_mode=record.mode,
        face_index=record.face_index,
        width=record.width,
        height=record.height,
        uploaded_at=known_time(record.uploaded_at),
        processing_completed=iso_time(record.changed_at) if record.state == "ready" else None,
        processing_seconds={stage: round(seconds, 4) for stage, seconds in record.seconds.items()},
        cached_components=shows.cached,
        cache_summary=cache_summary(summary),
        performance_ready=performance_ready(figures) if figures and record.state == "ready" else None,
        progress=AvatarProgress(stage=record.stage, done=len(record.stages)),
        face=Face(box=record.face_box, confidence=record.face_score) if record.face_box else None,
        faces=list(record.faces),
        warnings=list(record.warnings),
        error=problem_of(failure.code, failure.message, retryable=failure.retryable, param=failure.param)
        if failure
        else None,
        message=_MESSAGES[record.state],
        next_step=_next_step(record),
    )


class CachedComponentNames:
    """Names of the cached artefacts of a source image."""

    """Measured times of videos with a prepared avatar."""

    def __init__(self, summary: ImageSummary) -> None:
        self.cached = [name for name, part in summary.components.items() if part.cached]


def performance_ready(figures: Snapshot) -> PerformanceReady:
    """What videos with a prepared avatar took so far."""
    cached = figures.kinds["cached_avatar"]
    factor = figures.speedup("cached_avatar")
    return PerformanceReady(
        generation_time=about(cached.average_seconds),
        generation_seconds=cached.average_seconds,
        speedup=times_faster(factor),
        speedup_factor=factor,
        ready_for_vip=True,
    )


def cache_summary(summary: ImageSummary) -> CacheSummary:
    """The cached artefacts of a source image."""
    return CacheSummary(
        image_hash=summary.image_id,
        cached_components={
            name: CachedComponent(
                cached=part.cached,
                ttl=("permanent" if part.ttl is None else max(0, part.ttl)) if part.cached else None,
                size_bytes=part.size_bytes,
            )
            for name, part in summary.components.items()
        },
        total_cache_size=summary.total_bytes,
        cache_coverage=per_cent(summary.coverage) or 0.0,
    )


def image_summary(summary: ImageSummary, figures: Snapshot) -> ImageSummaryAnswer:
    """Everything stored for a source image, and what the cache saves."""
    return ImageSummaryAnswer(
        image_id=summary.image_id,
        cache_summary=cache_summary(summary),
        performance_impact=PerformanceImpact(
            cache_coverage=f"{per_cent(summary.coverage)}%",
            estimated_speedup=times_faster(figures.speedup("cached_avatar")),
            total_cache_size=megabytes(summary.total_bytes),
        ),
        videos=summary.videos,
        preprocess_modes=list(dict.fromkeys(record.mode for record in summary.records)),
    )


def avatar_list(records: Iterable[AvatarRecord], cursor: str | None) -> AvatarList:
    """A page of avatars."""
    items = [
        AvatarItem(
            image_id=record.image_id,
            status=record.state,
            preprocess_mode=record.mode,
            face_index=record.face_index,
            uploaded_at=known_time(record.uploaded_at),
            width=record.width,
            height=record.height,
            size_bytes=record.size_bytes,
            media_type=record.media_type,
        )
        for record in records
    ]
    return AvatarList(avatars=items, next_cursor=cursor)


def _status_url(record: AvatarRecord) -> str:
    face = f"&face_index={record.face_index}" if record.face_index else ""
    return f"/api/avatar/status/{record.image_id}?preprocess_mode={record.mode}{face}"


def _next_step(record: AvatarRecord) -> str:
    if record.state == "processing":
        return f"GET {_status_url(record)}"
    return "POST /api/vip/generate" if record.state == "ready" else "POST /api/avatar/upload"
