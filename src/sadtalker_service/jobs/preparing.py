"""Prepares an uploaded portrait, so that the first video of it need not."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import structlog

from sadtalker_service.domain import Artefact, Portrait, PreprocessMode
from sadtalker_service.engines.detection import DETECTION, face_boxes
from sadtalker_service.errors import Cancelled, SadTalkerError, StoreUnavailable, WorkerLost
from sadtalker_service.jobs.attempt import INTERNAL_ERROR
from sadtalker_service.jobs.failures import failure_of
from sadtalker_service.jobs.lease import Lease
from sadtalker_service.jobs.originals import read_original_portrait
from sadtalker_service.jobs.patience import best_effort, patiently
from sadtalker_service.jobs.records import Failure
from sadtalker_service.jobs.workplace import Workplace
from sadtalker_service.pipeline.cached import CacheTerms
from sadtalker_service.pipeline.prepare import Prepared, prepare
from sadtalker_service.pipeline.previews import make_previews
from sadtalker_service.telemetry import metrics
from sadtalker_service.telemetry.logs import bound

log = structlog.get_logger(__name__)


class Preparer:
    """Prepares avatars, one after the other."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def prepare(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        """Compute every stage of an avatar if that is still to be done.

        The avatar is ready when all that rendering needs is there; previews come after that. Of one that is
        ready, previews that were lost are made again. Raises
        `StoreUnavailable` where the store cannot even tell what is to be done.
        """
        avatars = self._place.avatars
        record = patiently(lambda: avatars.get(image_id, mode, face_index))
        if record is None or record.state == "failed":
            log.info("preparation_void", image_id=image_id, mode=mode, face_index=face_index)
            return
        with bound(image_id=image_id, mode=mode):
            if record.state == "ready":
                with _Optional():
                    self._preview(_original(self._place, image_id, face_index, self._terms()), mode)
                return
            with _Preparation(self._place, image_id, mode, face_index) as preparation:
                portrait = preparation.run()
            if preparation.is_ready:
                with _Optional():
                    self._preview(portrait, mode)
                self._place.forget_if_deleted(image_id)

    def _preview(self, portrait: Portrait, mode: PreprocessMode) -> None:
        place = self._place
        make_previews(
            place.engines.default, portrait, mode, place.cache, on_stage=self._check, terms=self._terms()
        )

    def _terms(self) -> CacheTerms:
        return self._place.cache_terms(self._check)

    def _check(self, *_: str) -> None:
        if self._place.shared.must_stop(time.monotonic()):
            raise Cancelled("The worker is being shut down.")


class _Preparation:
    """As a block: whatever ends the block ends the preparation, as with `Attempt`."""

    def __init__(self, place: Workplace, image_id: str, mode: PreprocessMode, face_index: int) -> None:
        self._place = place
        self._image_id, self._mode, self._face = image_id, mode, face_index
        self._stage = "decode"
        self._lease = Lease(
            lambda: place.avatars.stage(image_id, mode, self._stage, face_index), place.settings.lease_seconds
        )
        self._start = place.clock()
        self.is_ready = False

    def run(self) -> Portrait:
        """Compute what rendering needs. Raises what the stages raise, and `Cancelled`."""
        place = self._place
        starts = patiently(lambda: place.preparations.begin(self._image_id, self._mode, self._face))
        if starts > place.settings.max_attempts:
            raise WorkerLost(f"The worker died {starts - 1} times while it prepared this picture.")
        terms = place.cache_terms(self._check)
        portrait = _original(place, self._image_id, self._face, terms)
        prepared = prepare(
            place.engines.default, portrait, self._mode, place.cache, on_stage=self._begin_stage, terms=terms
        )
        self._tell_ready(prepared, portrait)
        return portrait

    def __enter__(self) -> Self:
        self._lease.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            if error is None:
                best_effort(self._end_count)
                return False
            if isinstance(error, Exception):
                self._end(error)
                return True
            return False
        finally:
            self._lease.__exit__(kind, error, trace)

    def _begin_stage(self, stage: str) -> None:
        self._stage = stage
        if not patiently(lambda: self._place.avatars.stage(self._image_id, self._mode, stage, self._face)):
            self._lease.lose()
        self._check()

    def _check(self) -> None:
        if self._lease.lost or self._place.shared.must_stop(time.monotonic()):
            raise Cancelled("The preparation was stopped.")

    def _tell_ready(self, prepared: Prepared, portrait: Portrait) -> None:
        detection = prepared.avatar.artefacts.get(DETECTION) or Artefact({})
        boxes, score = face_boxes(detection, portrait.size), detection.record.get("score")
        there = patiently(
            lambda: self._place.avatars.ready(
                self._image_id,
                self._mode,
                stages=tuple(prepared.seconds),
                seconds=dict(prepared.seconds),
                face_box=boxes[min(self._face, len(boxes) - 1)] if boxes else None,
                face_score=None if score is None else float(score),
                face_index=self._face,
                faces=boxes,
                warnings=prepared.avatar.warnings,
            )
        )
        if not there:
            self._lease.lose()
            self._check()
        self.is_ready = True
        seconds = self._place.clock() - self._start
        log.info("avatar_ready", seconds=round(seconds, 3), cached=len(prepared.cache.hits))
        metrics.avatar_prepared("ready", seconds)
        metrics.observe_stages(prepared.seconds)

    def _end(self, error: Exception) -> None:
        try:
            if isinstance(error, Cancelled):
                self._stop()
            elif isinstance(error, StoreUnavailable):
                raise error
            elif isinstance(error, SadTalkerError):
                log.info("preparation_failed", code=error.code, reason=error.message)
                self._fail(failure_of(error))
            else:
                log.error("preparation_crashed", exc_info=error)
                self._place.engines.leave_if_lost(error)
                self._fail(INTERNAL_ERROR)
        except StoreUnavailable as away:  # the janitor finds an avatar that nobody works on
            log.warning("preparation_left", reason=away.message)

    def _stop(self) -> None:
        if self._lease.lost:  # the avatar was deleted: what was computed meanwhile goes too
            log.info("preparation_unwanted")
            self._place.forget_if_deleted(self._image_id)
            return
        patiently(self._end_count)
        patiently(lambda: self._place.dispatch.prepare(self._image_id, self._mode, self._face))
        metrics.job_requeued("handed_back")

    def _fail(self, failure: Failure) -> None:
        patiently(lambda: self._place.avatars.failed(self._image_id, self._mode, failure, self._face))
        metrics.avatar_prepared("failed", self._place.clock() - self._start)
        self._end_count()

    def _end_count(self) -> None:
        self._place.preparations.end(self._image_id, self._mode, self._face)


class _Optional:
    """As a block: its errors are logged and no more; what it makes can be made later."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            log.warning("previews_missing", exc_info=error)
            return True
        return False


def _original(place: Workplace, image_id: str, face_index: int, terms: CacheTerms) -> Portrait:
    return read_original_portrait(place.artefacts, image_id, place.settings, place.cache, terms, face_index)
