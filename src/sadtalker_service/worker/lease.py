"""Keeps a job assigned to its worker: a thread renews the lease while the job runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from sadtalker_service.errors import StoreUnavailable

log = structlog.get_logger(__name__)

RENEWALS_PER_LEASE = 5
"""Three renewals may fail or be late (some libraries block Python for up to 2 s) before it expires."""
_RETRY_SECONDS = 0.5
"""After a failed renewal: the lease must be renewed before a janitor considers the job lost."""


class Lease:
    """Context manager that renews the lease while it is open."""

    def __init__(self, renew: Callable[[], bool], seconds: float) -> None:
        """`renew` returns whether the job is still this worker's; a lease lasts `seconds`."""
        self._renew = renew
        self._interval = seconds / RENEWALS_PER_LEASE
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether the job now belongs to another worker, or is gone: its results must be discarded."""
        return self._lost.is_set()

    def lose(self) -> None:
        """Mark the lease as lost, because the store said so in another answer."""
        self._lost.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        wait = self._interval
        while not self._ended.wait(wait):
            try:
                if not self._renew():
                    self._lost.set()
                    return
                wait = self._interval
            except StoreUnavailable as error:  # the job goes on: the server may come back
                wait = min(_RETRY_SECONDS, self._interval)
                log.warning("lease_not_renewed", reason=error.message)
