"""Makes the video of a session: portrait and recording out of the store, the video into it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import structlog

from sadtalker_service.domain import Speech
from sadtalker_service.engines.base import Finish
from sadtalker_service.jobs.attempt import Attempt
from sadtalker_service.jobs.originals import original_references, original_speech, read_original_portrait
from sadtalker_service.jobs.patience import best_effort, patiently
from sadtalker_service.jobs.records import Outcome, Session, Wish
from sadtalker_service.jobs.statistics import RequestKind
from sadtalker_service.jobs.workplace import Workplace
from sadtalker_service.media.boxes import Writable
from sadtalker_service.pipeline.prepare import prepare
from sadtalker_service.pipeline.produce import produce
from sadtalker_service.pipeline.progress import Reporter
from sadtalker_service.pipeline.report import Report
from sadtalker_service.store.artefact_store import video_name
from sadtalker_service.store.media_stream import MediaStream
from sadtalker_service.telemetry import metrics
from sadtalker_service.telemetry.logs import bound

log = structlog.get_logger(__name__)


class Maker:
    """Makes videos, one after the other."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def make(self, session_id: str) -> None:
        """Make the video of a session if that is still to be done.

        Whatever becomes of it stands in the session store. Raises `StoreUnavailable` where that cannot even
        tell what is to be done.
        """
        place, start = self._place, self._place.clock()
        session = patiently(lambda: place.sessions.begin(session_id, place.worker))
        if session is None:
            log.info("ticket_void", session_id=session_id)
            return
        place.shared.attempt = session.attempt
        with bound(session_id=session_id, request_id=session.request_id), Attempt(place, session) as attempt:
            log.info("job_started", lane=session.lane, attempt=session.attempt)
            metrics.job_started(session.lane, max(0.0, (session.started_at or 0.0) - session.queued_at))
            self._make(session, attempt, start)
        if not attempt.succeeded:
            place.forget_if_deleted(session.wish.image_id)

    def _make(self, session: Session, attempt: Attempt, start: float) -> None:
        unfinished = self._place.scratch / f"{session.session_id}.mp4"
        try:
            report = self._produce(session, attempt, unfinished, start)
            attempt.check()  # the last moment in which a fenced or cancelled attempt leaves no trace
            outcome = self._publish(session, attempt, report, start)
        finally:
            unfinished.unlink(missing_ok=True)
        self._count(session, outcome, report)

    def _produce(self, session: Session, attempt: Attempt, output: Path, start: float) -> Report:
        place, wish = self._place, session.wish
        engine = place.engines.engine(wish.engine, wish.engine_version)
        reporter = Reporter(attempt.tell, attempt.must_stop)
        terms = place.cache_terms(reporter.check)
        portrait = read_original_portrait(
            place.artefacts, wish.image_id, place.settings, place.cache, terms, wish.face_index
        )
        prepared = prepare(
            engine,
            portrait,
            wish.style.preprocess,
            place.cache,
            size=wish.style.size,
            on_stage=reporter.stage,
            terms=terms,
        )
        media = MediaStream(place.cache_client, session.session_id, session.attempt, session.wish.image_id)
        references = original_references(place.artefacts, wish)
        with self._speech(wish) as speech, references as videos, media:
            return produce(
                engine,
                prepared,
                speech,
                wish.style,
                output,
                cache=place.cache,
                terms=terms,
                references=videos,
                finish=Finish(wish.enhancer, wish.background_enhancer),
                stream=_Timed(media, lambda: metrics.observe_first_bytes(place.clock() - start)),
                idle_seconds=wish.audio_seconds,
                warnings=session.warnings,
                reporter=reporter,
            )

    def _speech(self, wish: Wish) -> AbstractContextManager[Speech | None]:
        """A block with the recording, None for an idle video."""
        if wish.audio_id is None:
            return nullcontext()
        return original_speech(self._place.artefacts, wish.audio_id, self._place.settings)

    def _publish(self, session: Session, attempt: Attempt, report: Report, start: float) -> Outcome | None:
        """Put the video where it is looked for. None where nobody wanted it any more."""
        place, key = self._place, session.result_key
        if not patiently(lambda: place.avatars.link_video(session.wish.image_id, key)):
            attempt.abandon()
        place.artefacts.put_file(report.output, video_name(key))
        outcome = outcome_of(report, place.clock() - start)
        if attempt.finish(outcome):
            return outcome
        if patiently(lambda: place.sessions.known_result(key)) is None:
            place.artefacts.delete(video_name(key))
        return None

    def _count(self, session: Session, outcome: Outcome | None, report: Report) -> None:
        if outcome is None:
            return
        engine = self._place.engines.engine(session.wish.engine, session.wish.engine_version)
        essential = {stage.name for stage in engine.stages_for(session.wish.style.size) if stage.essential}
        kind: RequestKind = "first" if essential & set(report.cache_misses) else "cached_avatar"
        log.info(
            "job_ready",
            kind=kind,
            seconds=round(outcome.total_seconds, 3),
            video_seconds=round(outcome.video_seconds, 3),
            frames=outcome.frames,
        )
        metrics.observe_stages(outcome.seconds)
        metrics.observe_job(
            kind, outcome.total_seconds, video_seconds=outcome.video_seconds, frames=outcome.frames
        )
        statistics = self._place.statistics
        best_effort(lambda: statistics.job_done(kind, session.lane, session.wish.engine, outcome))


def outcome_of(report: Report, total_seconds: float) -> Outcome:
    """What a session keeps of a report; `total_seconds` are those from the start of the job."""
    return Outcome(
        width=report.width,
        height=report.height,
        fps=report.fps,
        frames=report.frames,
        video_seconds=report.video_seconds,
        size_bytes=report.size_bytes,
        total_seconds=total_seconds,
        seconds=dict(report.seconds),
        saved_seconds=report.saved_seconds,
        cache_hits=report.cache_hits,
        cache_misses=report.cache_misses,
        warnings=report.warnings,
    )


class _Timed:
    """Passes pieces on, and says when the first one has gone."""

    def __init__(self, stream: Writable, on_first: Callable[[], None]) -> None:
        self._stream = stream
        self._on_first: Callable[[], None] | None = on_first

    def write(self, data: bytes, /) -> int:
        """One piece."""
        written = self._stream.write(data)
        if self._on_first:
            self._on_first()
            self._on_first = None
        return written
