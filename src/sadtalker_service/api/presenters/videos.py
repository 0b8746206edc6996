"""Response bodies of the session routes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sadtalker_service.api.errors import problem_of
from sadtalker_service.api.presenters.formatting import (
    about,
    iso_time,
    known_time,
    rounded,
    stopwatch,
    times_faster,
)
from sadtalker_service.api.queue_stats import QueueStats
from sadtalker_service.api.schemas import videos as schemas
from sadtalker_service.api.schemas.avatars import NOT_MEASURED
from sadtalker_service.api.schemas.videos import (
    CancelAnswer,
    GenerateAnswer,
    Performance,
    QueueInfo,
    SessionLinks,
    SessionStatus,
    VideoFacts,
)
from sadtalker_service.domain import Progress, VideoResult
from sadtalker_service.state.records import QueuePosition, Session
from sadtalker_service.state.viewer import Viewer

MEDIA_TYPES = {"mp4": "video/mp4", "webm": "video/webm", "mov": "video/quicktime"}
MESSAGES = {
    "queued": "The request is waiting in the queue.",
    "generating": "The video is being rendered.",
    "ready": "The video is ready.",
    "failed": "The video could not be rendered. See error.",
    "cancelled": "The request was cancelled.",
}
_AUDIO_STAGES = ("voice", "speech_features", "drive")
"""Stages that turn a text into audio, and audio into motion."""
_VIDEO_STAGES = ("set_up", "render", "wait", "convert", "finish")
"""Stages that turn motion into a video file, without those that run in parallel."""
_KEPT_AS = {"motion": "speech_features"}
"""Kind of artefact -> stage that includes loading it from the cache, if the names differ."""


def generate_answer(
    session: Session, queue_position: QueuePosition | None, *, speedup: float | None, warnings: Iterable[str]
) -> GenerateAnswer:
    """The response to a request; `speedup` is the measured one of prepared avatars."""
    ready = session.state == "ready"
    links = links_of(session)
    estimate = 0.0 if ready else queue_position.eta_seconds if queue_position else None
    return GenerateAnswer(
        session_id=session.session_id,
        status=session.state,
        lane=session.lane,
        queue_position=queue_position.ahead + 1 if queue_position else 0,
        estimated_time="ready" if ready else about(estimate),
        estimated_seconds=rounded(estimate),
        performance_boost=_boost(session, speedup),
        next_step=f"GET {links.download}" if ready else f"GET {links.status}",
        settings=dict(session.settings),
        warnings=list(dict.fromkeys([*warnings, *session.warnings])),
        links=links,
        video_ready=ready,
        download_url=links.download if ready else None,
        performance=performance(session) if ready else None,
    )


def session_status(
    session: Session, queue_position: QueuePosition | None, queue_stats: QueueStats
) -> SessionStatus:
    """The current state of a session."""
    links = links_of(session)
    ready, failure, outcome = session.state == "ready", session.failure, session.outcome
    warnings = [*session.warnings, *(outcome.warnings if outcome else ())]
    return SessionStatus(
        session_id=session.session_id,
        status=session.state,
        lane=session.lane,
        queued_at=known_time(session.queued_at),
        started_at=iso_time(session.started_at),
        completed_at=iso_time(session.ended_at),
        message=MESSAGES[session.state],
        queue_info=queue_info(session, queue_stats),
        queue_position=queue_position.ahead + 1 if queue_position else 0,
        estimated_seconds=rounded(queue_position.eta_seconds) if queue_position else None,
        progress=progress(_final_progress(session.moment) if ready else session.moment)
        if session.moment
        else None,
        attempt=session.attempt,
        video_ready=ready,
        download_url=links.download if ready else None,
        performance=performance(session) if ready else None,
        video=video_facts(session, outcome) if ready and outcome else None,
        error=problem_of(failure.code, failure.message, retryable=failure.retryable, param=failure.param)
        if failure
        else None,
        settings=dict(session.settings),
        warnings=list(dict.fromkeys(warnings)),
        user_data=session.user_data,
        links=links,
    )


def cancel_answer(session: Session) -> CancelAnswer:
    """The response to a cancellation."""
    stopping = session.state == "generating"
    message = "The worker is stopping." if stopping else MESSAGES[session.state]
    return CancelAnswer(session_id=session.session_id, status=session.state, message=message)


def links_of(session: Session) -> SessionLinks:
    """Links of a session."""
    base, name = f"/api/{session.lane}", session.session_id
    return SessionLinks(
        status=f"{base}/status/{name}",
        events=f"{base}/events/{name}",
        stream=None if session.spec.options.transparent else f"{base}/stream/{name}",
        download=f"{base}/download/{name}",
        cancel=f"{base}/session/{name}",
        captions=f"{base}/captions/{name}.vtt",
    )


def queue_info(session: Session, queue_stats: QueueStats) -> QueueInfo:
    """Load of the session's lane. Only a running session of the same owner is named, by its first digits."""
    return QueueInfo(
        queue_size=queue_stats.lanes[session.lane].waiting,
        processing=bool(queue_stats.running),
        current_session=queue_stats.current(Viewer(session.owner)),
    )


def progress(moment: Progress) -> schemas.Progress:
    """Progress of the work."""
    return schemas.Progress(
        stage=moment.stage,
        frame=moment.frame,
        total=moment.total,
        percent=round(min(100.0, moment.percent), 1),
        fps=round(moment.fps, 1),
        eta_seconds=rounded(moment.eta_seconds),
    )


def _final_progress(moment: Progress) -> Progress:
    """Progress at the end. Workers report frames only now and then, and rarely the last one."""
    return replace(moment, frame=moment.total, eta_seconds=0.0)


def video_facts(session: Session, outcome: VideoResult) -> VideoFacts:
    """The finished video."""
    return VideoFacts(
        width=outcome.width,
        height=outcome.height,
        fps=outcome.fps,
        frames=outcome.frames,
        seconds=round(outcome.video_seconds, 3),
        size_bytes=outcome.size_bytes,
        media_type=MEDIA_TYPES[session.spec.options.container],
    )


def performance(session: Session) -> Performance | None:
    """Measured times of a finished video. For a reused video: the time of this request, compared with the
    work that rendered it."""
    outcome = session.outcome
    if outcome is None:
        return None
    without_cache = outcome.total_seconds + outcome.saved_seconds
    total = outcome.total_seconds
    if session.reused and session.ended_at is not None:
        total = max(0.001, session.ended_at - session.queued_at)
    times = {"total_time": total, **_parts(session, outcome), "estimated_without_cache": without_cache}
    speedup = without_cache / total if total > 0 else 1.0
    return Performance(
        **{name: stopwatch(seconds) for name, seconds in times.items()},
        speedup=times_faster(speedup),
        seconds={name: round(seconds, 4) for name, seconds in [*times.items(), *_stages(session, outcome)]},
        speedup_factor=round(speedup, 2),
        real_time_factor=round(outcome.video_seconds / total, 2) if total > 0 else None,
        cache_hits=list(outcome.cache_hits),
        cache_misses=list(outcome.cache_misses),
    )


def _parts(session: Session, outcome: VideoResult) -> dict[str, float]:
    """The parts of the total time; all zero for a reused video."""
    seconds = {} if session.reused else outcome.seconds
    loaded = {_KEPT_AS.get(kind, kind) for kind in outcome.cache_hits}
    return {
        "cache_load_time": sum(seconds.get(stage, 0.0) for stage in loaded),
        "audio_process_time": sum(seconds.get(stage, 0.0) for stage in _AUDIO_STAGES if stage not in loaded),
        "video_render_time": sum(seconds.get(stage, 0.0) for stage in _VIDEO_STAGES),
    }


def _stages(session: Session, outcome: VideoResult) -> list[tuple[str, float]]:
    return [] if session.reused else sorted(outcome.seconds.items())


def _boost(session: Session, speedup: float | None) -> str:
    if session.state == "ready":
        mine = performance(session)
        return f"{mine.speedup}: this video already existed" if mine else NOT_MEASURED
    return (
        NOT_MEASURED if speedup is None else f"{times_faster(speedup)} than a first request, as measured here"
    )
