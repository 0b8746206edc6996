"""Makes the video of a session: reads source image and driven audio from the store, stores the video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Lock

import structlog

from sadtalker_service.domain import VideoResult
from sadtalker_service.media.stopwatch import Stopwatch
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.progress import Reporter
from sadtalker_service.state.records import Session
from sadtalker_service.state.retry import best_effort, retry_while_unavailable
from sadtalker_service.state.statistics import RequestKind
from sadtalker_service.store.artefact_store import video_name
from sadtalker_service.store.media_stream import MediaStream
from sadtalker_service.telemetry import metrics
from sadtalker_service.telemetry.logs import bound
from sadtalker_service.worker.attempt import Attempt
from sadtalker_service.worker.context import WorkerContext
from sadtalker_service.worker.originals import (
    driven_audio,
    original_backdrop,
    original_image,
    original_references,
)

log = structlog.get_logger(__name__)


class RenderJob:
    """Makes videos, one after another."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._hearing = Lock()
        """Held while a recording is heard; for a moment also by a job that was cancelled."""

    def make(self, session_id: str) -> None:
        """Make the video of a session that still needs one.

        The result, or the failure, goes into the session store. Raises `StoreUnavailable` if the session
        cannot be read.
        """
        context, start = self._context, self._context.clock()
        session = retry_while_unavailable(lambda: context.sessions.begin(session_id, context.worker))
        if session is None:
            log.info("ticket_void", session_id=session_id)
            return
        context.shared.attempt = session.attempt
        with (
            bound(session_id=session_id, request_id=session.request_id, attempt=session.attempt),
            Attempt(context, session) as attempt,
        ):
            log.info("job_started", lane=session.lane)
            metrics.job_started(session.lane, max(0.0, (session.started_at or 0.0) - session.queued_at))
            unfinished = context.scratch / f"{session.session_id}.{session.spec.options.container}"
            try:
                made = self._produce(session, attempt, unfinished, start)
                attempt.check()  # last chance for a fenced or cancelled attempt to end without a trace
                self._publish(session, attempt, made, unfinished, start)
            finally:
                unfinished.unlink(missing_ok=True)
        if not attempt.succeeded:
            context.forget_if_deleted(session.spec.image_id)

    def _produce(self, session: Session, attempt: Attempt, output: Path, start: float) -> VideoResult:
        context, spec = self._context, session.spec
        with self._hearing:  # the engine may not be used beside it
            pass
        engine = context.loaded.engine(spec.engine, spec.engine_version)
        reporter = Reporter(attempt.report, attempt.must_stop)
        terms = context.cache_terms(reporter.check)
        pipeline = Pipeline(
            engine, context.cache, terms, reporter, context.clock, context.marker, self._hearing
        )
        prepared = pipeline.prepare(
            original_image(context.artefacts, spec.image_id, context.settings, context.cache, terms),
            spec.options,
        )
        media = MediaStream(
            context.cache_client,
            session.session_id,
            session.attempt,
            spec.image_id,
            lambda: metrics.observe_first_bytes(context.clock() - start),
        )
        references = original_references(context.artefacts, spec)
        watch = Stopwatch(context.clock)
        with driven_audio(context, session, pipeline, watch) as speech, references as videos, media:
            made = pipeline.render(
                prepared,
                speech,
                spec.options,
                output,
                references=videos,
                backdrop=original_backdrop(context.artefacts, spec, context.settings),
                stream=media,
                idle_seconds=spec.audio_seconds,
                warnings=session.warnings,
            )
            return replace(made, seconds={**watch.seconds, **made.seconds})

    def _publish(
        self, session: Session, attempt: Attempt, made: VideoResult, file: Path, start: float
    ) -> None:
        """Store the video, finish the session and count it, unless the session ended in the meantime."""
        context, spec, key = self._context, session.spec, session.result_key
        if not retry_while_unavailable(lambda: context.avatars.link_video(spec.image_id, key)):
            attempt.abandon()
        context.artefacts.put_file(file, video_name(key))
        result = replace(made, total_seconds=context.clock() - start)
        if not attempt.finish(result):
            if retry_while_unavailable(lambda: context.sessions.known_result(key)) is None:
                context.artefacts.delete(video_name(key))
            return
        engine = context.loaded.engine(spec.engine, spec.engine_version)
        essential = {stage.name for stage in engine.stages_for(spec.options) if stage.essential}
        kind: RequestKind = "first" if essential & set(result.cache_misses) else "cached_avatar"
        log.info(
            "job_ready",
            kind=kind,
            seconds=round(result.total_seconds, 3),
            video_seconds=round(result.video_seconds, 3),
            frames=result.frames,
        )
        metrics.observe_stages(result.seconds)
        metrics.observe_job(
            kind, result.total_seconds, video_seconds=result.video_seconds, frames=result.frames
        )
        best_effort(lambda: context.statistics.job_done(kind, session.lane, spec.engine, result))
