"""Prepares an uploaded portrait, so that the first video of it need not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from sadtalker_service.domain import Artefact, LazySourceImage, PreprocessMode
from sadtalker_service.errors import Cancelled, WorkerLost
from sadtalker_service.options import RenderOptions
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

Box = tuple[float, float, float, float]


class PrepareJob:
    """Prepares avatars, one after the other."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def prepare(self, image_id: str, mode: PreprocessMode) -> None:
        """Compute every stage of an avatar if that is still to be done.

        The avatar is ready when all that rendering needs is there; previews come after that. Of one that is
        ready, previews that were lost are made again. Raises
        `StoreUnavailable` where the store cannot even tell what is to be done.
        """
        avatars = self._context.avatars
        record = retry_while_unavailable(lambda: avatars.get(image_id, mode))
        if record is None or record.state == "failed":
            log.info("preparation_void", image_id=image_id, mode=mode)
            return
        image = original_image(self._context.artefacts, image_id, self._context.settings)
        with bound(image_id=image_id, mode=mode):
            if record.state == "ready":
                with _optional():
                    self._preview(image, mode)
                return
            with _Preparation(self._context, record) as preparation:
                preparation.run(image)
            if preparation.is_ready:
                with _optional():
                    self._preview(image, mode)
                self._context.forget_if_deleted(image_id)

    def _preview(self, image: LazySourceImage, mode: PreprocessMode) -> None:
        context = self._context
        reporter = Reporter(cancelled=lambda: context.shared.must_stop(time.monotonic()))
        terms = context.cache_terms(reporter.check)
        make_previews(Pipeline(context.loaded.default, context.cache, terms, reporter), image, mode)


class _Preparation(JobRun):
    """Computes what rendering needs of an avatar."""

    def __init__(self, context: WorkerContext, record: AvatarRecord) -> None:
        self._record = record
        self._image_id, self._mode = record.image_id, record.mode
        self._stage = "decode"
        super().__init__(
            context,
            "preparation",
            lambda: context.avatars.stage(record.image_id, record.mode, self._stage),
        )
        self._start = context.clock()
        self.is_ready = False

    def run(self, image: LazySourceImage) -> None:
        """Compute what rendering needs. Raises what the stages raise, and `Cancelled`."""
        context = self._context
        starts = retry_while_unavailable(lambda: context.preparations.begin(self._image_id, self._mode))
        if starts > context.settings.max_attempts:
            raise WorkerLost(f"The worker died {starts - 1} times while it prepared this picture.")
        reporter = Reporter(lambda progress: self._begin_stage(progress.stage))
        terms = context.cache_terms(self._check)
        pipeline = Pipeline(context.loaded.default, context.cache, terms, reporter)
        self._tell_ready(pipeline.prepare(image, RenderOptions(preprocess=self._mode)))

    def _succeed(self) -> None:
        best_effort(self._end_count)

    def _begin_stage(self, stage: str) -> None:
        self._stage = stage
        if not retry_while_unavailable(
            lambda: self._context.avatars.stage(self._image_id, self._mode, stage)
        ):
            self._lease.lose()
        self._check()

    def _check(self) -> None:
        if self._lease.lost or self._context.shared.must_stop(time.monotonic()):
            raise Cancelled("The preparation was stopped.")

    def _tell_ready(self, prepared: Prepared) -> None:
        size = self._record.width, self._record.height
        box, score = _face(prepared.avatar.artefacts.get("face_detection"), size)
        there = retry_while_unavailable(
            lambda: self._context.avatars.ready(
                self._image_id,
                self._mode,
                stages=tuple(prepared.seconds),
                seconds=dict(prepared.seconds),
                face_box=box,
                face_score=score,
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
        if self._lease.lost:  # the avatar was deleted: what was computed meanwhile goes too
            log.info("preparation_unwanted")
            self._context.forget_if_deleted(self._image_id)
            return
        retry_while_unavailable(self._end_count)
        retry_while_unavailable(lambda: self._context.dispatch.prepare(self._image_id, self._mode))
        metrics.job_requeued("handed_back")

    def _fail(self, failure: Failure) -> None:
        retry_while_unavailable(lambda: self._context.avatars.failed(self._image_id, self._mode, failure))
        metrics.avatar_prepared("failed", self._context.clock() - self._start)
        self._end_count()

    def _end_count(self) -> None:
        self._context.preparations.end(self._image_id, self._mode)


@contextmanager
def _optional() -> Iterator[None]:
    """A block whose errors are logged and no more; what it makes can be made later."""
    try:
        yield
    except Exception as error:
        log.warning("previews_missing", exc_info=error)


def _face(detection: Artefact | None, size: tuple[int, int]) -> tuple[Box | None, float | None]:
    """Box in pixels of the portrait, and score 0..1, as far as the engine tells them.

    `size` is (width, height) of the portrait.
    """
    record = detection.record if detection else {}
    score = record.get("score")
    box = record.get("box")
    if box is not None:
        x0, y0, x1, y1 = map(float, box)
        box = _turned_back((x0, y0, x1, y1), int(record.get("quarter_turns", 0)), size)
    return box, None if score is None else float(score)


def _turned_back(box: Box, quarter_turns: int, size: tuple[int, int]) -> Box:
    """A box found after so many quarter turns counterclockwise (`np.rot90`), in a picture of `size`
    (width, height) before them."""
    for turn in reversed(range(quarter_turns % 4)):
        width = size[turn % 2]  # of the picture before this turn
        x0, y0, x1, y1 = box
        box = (width - y1, x0, width - y0, x1)
    return box
