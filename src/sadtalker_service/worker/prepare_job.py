"""Prepares an avatar after the upload, so that the first video does not have to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from sadtalker_service.domain import Artefact, LazySourceImage, PreprocessMode
from sadtalker_service.engines.detection import DETECTION, face_boxes
from sadtalker_service.errors import Cancelled, WorkerLost
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.cached import CacheTerms
from sadtalker_service.pipeline.pipeline import Pipeline, Prepared
from sadtalker_service.pipeline.previews import make_previews
from sadtalker_service.pipeline.progress import Reporter
from sadtalker_service.state.records import AvatarRecord, Failure
from sadtalker_service.state.retry import best_effort, retry_while_unavailable
from sadtalker_service.telemetry import metrics
from sadtalker_service.telemetry.logs import bound
from sadtalker_service.worker.context import WorkerContext
from sadtalker_service.worker.job_run import JobRun
from sadtalker_service.worker.originals import original_image

log = structlog.get_logger(__name__)


class PrepareJob:
    """Prepares avatars, one after another."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def prepare(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        """Compute every stage of an avatar that is not ready yet.

        The avatar is ready once everything that rendering needs exists; the previews follow. For an avatar
        that is already ready, missing previews are made again. Raises `StoreUnavailable` if the record of the
        avatar cannot be read.
        """
        avatars = self._context.avatars
        record = retry_while_unavailable(lambda: avatars.get(image_id, mode, face_index=face_index))
        if record is None or record.state == "failed":
            log.info("preparation_void", image_id=image_id, mode=mode, face_index=face_index)
            return
        with bound(image_id=image_id, mode=mode):
            if record.state == "ready":
                with _optional():
                    self._preview(record)
                return
            with _Preparation(self._context, record) as preparation:
                preparation.run()
            if preparation.is_ready:
                with _optional():
                    self._preview(record)
                self._context.forget_if_deleted(image_id)

    def _preview(self, record: AvatarRecord) -> None:
        context = self._context
        reporter = Reporter(cancelled=lambda: context.shared.must_stop(time.monotonic()))
        terms = context.cache_terms(reporter.check)
        pipeline = Pipeline(context.loaded.default, context.cache, terms, reporter)
        make_previews(pipeline, _image(context, record, terms), record.mode, record.face_index)


class _Preparation(JobRun):
    """Computes the stages of an avatar that rendering needs."""

    def __init__(self, context: WorkerContext, record: AvatarRecord) -> None:
        self._record = record
        self._named = record.image_id, record.mode, record.face_index
        self._stage = "decode"
        super().__init__(
            context,
            "preparation",
            lambda: context.avatars.stage(record.image_id, record.mode, self._stage, record.face_index),
        )
        self._start = context.clock()
        self.is_ready = False

    def run(self) -> None:
        """Compute these stages. Raises their errors, and `Cancelled`."""
        context = self._context
        starts = retry_while_unavailable(lambda: context.preparations.begin(*self._named))
        if starts > context.settings.max_attempts:
            raise WorkerLost(f"The worker died {starts - 1} times while it prepared this source image.")
        reporter = Reporter(lambda progress: self._begin_stage(progress.stage))
        terms = context.cache_terms(self._check)
        pipeline = Pipeline(context.loaded.default, context.cache, terms, reporter)
        options = RenderOptions(preprocess=self._record.mode, face_index=self._record.face_index)
        self._publish_ready(pipeline.prepare(_image(context, self._record, terms), options))

    def _succeed(self) -> None:
        best_effort(self._end_count)

    def _begin_stage(self, stage: str) -> None:
        self._stage = stage
        image_id, mode, face_index = self._named
        if not retry_while_unavailable(
            lambda: self._context.avatars.stage(image_id, mode, stage, face_index)
        ):
            self._lease.lose()
        self._check()

    def _check(self) -> None:
        if self._lease.lost or self._context.shared.must_stop(time.monotonic()):
            raise Cancelled("The preparation was stopped.")

    def _publish_ready(self, prepared: Prepared) -> None:
        image_id, mode, face_index = self._named
        detection = prepared.avatar.artefacts.get(DETECTION) or Artefact({})
        boxes = face_boxes(detection, (self._record.width, self._record.height))
        score = detection.record.get("score")
        there = retry_while_unavailable(
            lambda: self._context.avatars.ready(
                image_id,
                mode,
                stages=tuple(prepared.seconds),
                seconds=dict(prepared.seconds),
                face_box=boxes[min(face_index, len(boxes) - 1)] if boxes else None,
                face_score=None if score is None else float(score),
                face_index=face_index,
                faces=boxes,
                warnings=prepared.avatar.warnings,
            )
        )
        if not there:
            self._lease.lose()
            self._check()
        self.is_ready = True
        seconds = self._context.clock() - self._start
        log.info("avatar_ready", seconds=round(seconds, 3), cached=len(prepared.cache.hits))
        metrics.avatar_prepared("ready", seconds)
        metrics.observe_stages(prepared.seconds)

    def _stop(self, error: Cancelled) -> None:
        if self._lease.lost:  # the avatar was deleted: remove what was computed meanwhile
            log.info("preparation_unwanted")
            self._context.forget_if_deleted(self._record.image_id)
            return
        retry_while_unavailable(self._end_count)
        retry_while_unavailable(lambda: self._context.dispatch.prepare(*self._named))
        metrics.job_requeued("handed_back")

    def _fail(self, failure: Failure) -> None:
        image_id, mode, face_index = self._named
        retry_while_unavailable(lambda: self._context.avatars.failed(image_id, mode, failure, face_index))
        metrics.avatar_prepared("failed", self._context.clock() - self._start)
        self._end_count()

    def _end_count(self) -> None:
        self._context.preparations.end(*self._named)


@contextmanager
def _optional() -> Iterator[None]:
    """Context manager that only logs errors, because previews can be made later."""
    try:
        yield
    except Exception as error:
        log.warning("previews_missing", exc_info=error)


def _image(context: WorkerContext, record: AvatarRecord, terms: CacheTerms) -> LazySourceImage:
    return original_image(context.artefacts, record.image_id, context.settings, context.cache, terms)
