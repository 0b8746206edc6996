"""One run of a job: holds its lease, and ends whatever comes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from sadtalker_service.errors import Cancelled, SadTalkerError, StoreUnavailable
from sadtalker_service.state.failures import failure_of
from sadtalker_service.state.records import Failure
from sadtalker_service.worker.context import WorkerContext
from sadtalker_service.worker.lease import Lease

log = structlog.get_logger(__name__)

INTERNAL_ERROR = Failure("internal_error", "Something went wrong inside the service; its log says what.")


class JobRun(ABC):
    """As a block: whatever ends the block ends the run.

    Its errors stay inside: `SadTalkerError` fails the job with its code, `Cancelled` stops it, anything else
    is a defect: it is logged, and fails the job as `internal_error`. Only what ends the whole process
    (`SystemExit`, `KeyboardInterrupt`) goes on; an error after which the engine cannot be used in this
    process ends it. Where the store is away the job is left: its lease runs out, and it runs again.
    """

    def __init__(self, context: WorkerContext, kind: str, renew: Callable[[], bool]) -> None:
        """`kind` begins the names of log events; `renew` tells whether the job is still this worker's."""
        self._context = context
        self._kind = kind
        self._lease = Lease(renew, context.settings.lease_seconds)

    def __enter__(self) -> Self:
        self._lease.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            if error is None:
                self._succeed()
            elif isinstance(error, Exception):
                self._end(error)
            return isinstance(error, Exception)
        finally:
            self._lease.__exit__(kind, error, trace)

    def _succeed(self) -> None:  # noqa: B027  most have nothing left to do
        """The block came to its end. Raises nothing."""

    @abstractmethod
    def _stop(self, error: Cancelled) -> None:
        """The work was to end. May raise `StoreUnavailable`."""

    @abstractmethod
    def _fail(self, failure: Failure) -> None:
        """The job fails for good. May raise `StoreUnavailable`."""

    def _end(self, error: Exception) -> None:
        try:
            if isinstance(error, Cancelled):
                self._stop(error)
            elif isinstance(error, StoreUnavailable):
                raise error
            elif isinstance(error, SadTalkerError):
                log.warning(f"{self._kind}_failed", code=error.code, reason=error.message)
                self._fail(failure_of(error))
            else:
                log.error(f"{self._kind}_crashed", exc_info=error)
                self._context.loaded.leave_if_lost(error)
                self._fail(INTERNAL_ERROR)
        except StoreUnavailable as away:
            log.warning(f"{self._kind}_left", reason=away.message)
