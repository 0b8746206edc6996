"""Sessions as answers."""

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

MESSAGES = {
    "queued": "The request waits for its turn.",
    "generating": "The video is being made.",
    "ready": "The video is ready.",
    "failed": "The video could not be made; see error.",
    "cancelled": "The request was cancelled.",
}
_LISTENING = ("voice", "speech_features", "drive")
"""Stages that turn a text into sound, and sound into motion."""
_RENDERING = ("set_up", "render", "wait", "convert", "finish")
"""Stages that turn motion into a video file, other than those that run beside them."""
_KEPT_AS = {"motion": "speech_features"}
"""Kind of artefact -> stage under which getting it is measured, where the names differ."""


def generate_answer(
    session: Session, queue_position: QueuePosition | None, *, speedup: float | None, warnings: Iterable[str]
) -> GenerateAnswer:
    """The answer to a request; `speedup` is that of prepared avatars, as measured so far."""
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
    """A session as it stands."""
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
        progress=progress(_last_moment(session.moment) if ready else session.moment)
        if session.moment
        else None,
        attempt=session.attempt,
        video_ready=ready,
        download_url=links.download if ready else None,
        performance=performance(session) if ready else None,
        video=video_facts(outcome) if ready and outcome else None,
        error=problem_of(failure.code, failure.message, retryable=failure.retryable, param=failure.param)
        if failure
        else None,
        settings=dict(session.settings),
        warnings=list(dict.fromkeys(warnings)),
        user_data=session.user_data,
        links=links,
    )


def cancel_answer(session: Session) -> CancelAnswer:
    """What became of a request to end a session."""
    stopping = session.state == "generating"
    message = "The worker was told to stop." if stopping else MESSAGES[session.state]
    return CancelAnswer(session_id=session.session_id, status=session.state, message=message)


def links_of(session: Session) -> SessionLinks:
    """Addresses of a session."""
    base, name = f"/api/{session.lane}", session.session_id
    return SessionLinks(
        status=f"{base}/status/{name}",
        events=f"{base}/events/{name}",
        stream=f"{base}/stream/{name}",
        download=f"{base}/download/{name}",
        cancel=f"{base}/session/{name}",
        captions=f"{base}/captions/{name}.vtt",
    )


def queue_info(session: Session, queue_stats: QueueStats) -> QueueInfo:
    """The session's lane. Of running sessions only one of the same owner is named, by the id's beginning."""
    return QueueInfo(
        queue_size=queue_stats.lanes[session.lane].waiting,
        processing=bool(queue_stats.running),
        current_session=queue_stats.current(Viewer(session.owner)),
    )


def progress(moment: Progress) -> schemas.Progress:
    """How far the work is."""
    return schemas.Progress(
        stage=moment.stage,
        frame=moment.frame,
        total=moment.total,
        percent=round(min(100.0, moment.percent), 1),
        fps=round(moment.fps, 1),
        eta_seconds=rounded(moment.eta_seconds),
    )


def _last_moment(moment: Progress) -> Progress:
    """Workers tell of their frames now and then only, and hardly ever of the last one."""
    return replace(moment, frame=moment.total, eta_seconds=0.0)


def video_facts(outcome: VideoResult) -> VideoFacts:
    """The finished video."""
    return VideoFacts(
        width=outcome.width,
        height=outcome.height,
        fps=outcome.fps,
        frames=outcome.frames,
        seconds=round(outcome.video_seconds, 3),
        size_bytes=outcome.size_bytes,
    )


def performance(session: Session) -> Performance | None:
    """What a finished video took. For one that was there already: what the answer took, against the work
    that made it."""
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
    """The parts of the total; nothing of them was done for a video that was there already."""
    seconds = {} if session.reused else outcome.seconds
    loaded = {_KEPT_AS.get(kind, kind) for kind in outcome.cache_hits}
    return {
        "cache_load_time": sum(seconds.get(stage, 0.0) for stage in loaded),
        "audio_process_time": sum(seconds.get(stage, 0.0) for stage in _LISTENING if stage not in loaded),
        "video_render_time": sum(seconds.get(stage, 0.0) for stage in _RENDERING),
    }


def _stages(session: Session, outcome: VideoResult) -> list[tuple[str, float]]:
    return [] if session.reused else sorted(outcome.seconds.items())


def _boost(session: Session, speedup: float | None) -> str:
    if session.state == "ready":
        mine = performance(session)
        return f"{mine.speedup}: this video was there already" if mine else NOT_MEASURED
    return (
        NOT_MEASURED if speedup is None else f"{times_faster(speedup)} than a first request, as measured here"
    )
