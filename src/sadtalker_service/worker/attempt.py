"""One attempt at a session: reports progress, and detects when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import structlog

from sadtalker_service.domain import Progress, VideoResult
from sadtalker_service.errors import Cancelled, StoreUnavailable
from sadtalker_service.jobs.dispatch import send_waiting
from sadtalker_service.state.failures import failure_of
from sadtalker_service.state.records import Failure, Session
from sadtalker_service.state.retry import retry_while_unavailable
from sadtalker_service.telemetry import metrics
from sadtalker_service.worker.context import WorkerContext
from sadtalker_service.worker.job_run import JobRun

log = structlog.get_logger(__name__)

_ASK_SECONDS = 0.1
"""Minimum interval between checks of the store for a cancellation."""
_TELL_SECONDS = 0.2
"""Minimum interval between progress reports within one stage."""
_AWAY_SECONDS = 2.0
"""Pause after a store that did not answer: rendering must not wait for it after every batch."""

StopReason = Literal["cancelled", "stopping", "lost"]


class Attempt(JobRun):
    """Context manager (a `JobRun`) that reports progress and detects when the work must stop."""

    def __init__(
        self, context: WorkerContext, session: Session, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`session` comes from `SessionStore.begin`; `clock` returns seconds."""
        self._sessions = context.sessions
        self._id, self._number = session.session_id, session.attempt
        self._lane = session.lane
        self._clock = clock
        super().__init__(context, "job", lambda: self._sessions.renew(self._id, self._number))
        self._reason: StopReason | None = None
        self._ask_at = self._tell_at = 0.0
        self.succeeded = False
        """Whether this attempt has made the session ready."""

    def must_stop(self) -> bool:
        """True if the work must end now. Cheap enough to call after each batch of frames."""
        if self._reason is None:
            self._reason = self._find_reason(self._clock())
        return self._reason is not None

    def report(self, progress: Progress) -> None:
        """Store the progress: every new stage, and frames at most every 0.2 s."""
        now = self._clock()
        if now < self._tell_at and progress.frame:
            return
        self._tell_at = now + _TELL_SECONDS
        try:
            if not self._sessions.move(self._id, self._number, progress):
                self._lease.lose()
        except StoreUnavailable as error:
            self._leave_alone(now, error)

    def check(self) -> None:
        """Raise `Cancelled` if the work must end."""
        if self.must_stop():
            raise Cancelled("The work was stopped.")

    def abandon(self) -> None:
        """Stop because the video is no longer wanted. Raises `Cancelled`."""
        self._reason = "cancelled"
        self.check()

    def finish(self, outcome: VideoResult) -> bool:
        """Mark the session ready with its published video. Raises `StoreUnavailable`.

        Returns False if the session no longer belongs to this attempt.
        """
        if not retry_while_unavailable(lambda: self._sessions.finish(self._id, self._number, outcome)):
            log.info("job_finished_too_late")
            return False
        self.succeeded = True
        metrics.job_ended(self._lane, "ready")
        return True

    def _find_reason(self, now: float) -> StopReason | None:
        if self._lease.lost:
            return "lost"
        if self._context.shared.must_stop(now):
            return "stopping"
        if now < self._ask_at:
            return None
        self._ask_at = now + _ASK_SECONDS
        try:
            return "cancelled" if self._sessions.is_cancelled(self._id) else None
        except StoreUnavailable as error:
            self._leave_alone(now, error)
            return None

    def _leave_alone(self, now: float, error: StoreUnavailable) -> None:
        self._ask_at = self._tell_at = now + _AWAY_SECONDS
        log.warning("store_left_alone", reason=error.message)

    def _stop(self, error: Cancelled) -> None:
        log.info("job_stopped", reason=self._reason)
        if self._reason == "stopping":
            if retry_while_unavailable(lambda: self._sessions.hand_back(self._id, self._number)):
                metrics.job_requeued("handed_back")
                self._send_waiting()
        elif self._reason == "cancelled":
            self._fail(failure_of(error))

    def _fail(self, failure: Failure) -> None:
        if not retry_while_unavailable(lambda: self._sessions.fail(self._id, self._number, failure)):
            return
        cancelled = failure.code == Cancelled.code
        metrics.job_ended(self._lane, *(("cancelled",) if cancelled else ("failed", failure.code)))
        self._send_waiting()

    def _send_waiting(self) -> None:
        """Send waiting sessions: a waiter on the same video was promoted, or this one is queued again."""
        retry_while_unavailable(lambda: send_waiting(self._sessions, self._context.dispatch))
