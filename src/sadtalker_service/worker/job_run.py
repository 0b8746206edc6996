"""One run of a job: holds its lease, and always ends it."""

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

INTERNAL_ERROR = Failure("internal_error", "Something went wrong inside the service. See its log.")


class JobRun(ABC):
    """Context manager that ends the run when its body ends, with or without an error.

    It handles the errors of the body. `SadTalkerError` fails the job with its code, and `Cancelled` stops it.
    Any other exception is a defect: it is logged, and the job fails as `internal_error`. Only exceptions that
    end the whole process (`SystemExit`, `KeyboardInterrupt`) propagate. An error after which the engine
    cannot be used in this process ends the process. If the store is unreachable, the job is left as it is:
    its lease expires, and it runs again.
    """

    def __init__(self, context: WorkerContext, kind: str, renew: Callable[[], bool]) -> None:
        """`kind` prefixes the names of log events; `renew` returns whether the job is still this worker's."""
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
        """Called if the body ended without an error. Raises nothing."""

    @abstractmethod
    def _stop(self, error: Cancelled) -> None:
        """Called if the work was stopped. May raise `StoreUnavailable`."""

    @abstractmethod
    def _fail(self, failure: Failure) -> None:
        """Called if the job fails for good. May raise `StoreUnavailable`."""

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
