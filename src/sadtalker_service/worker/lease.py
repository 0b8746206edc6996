"""Keeps work in the hands of the worker that does it: a thread that says again and again that it lives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from sadtalker_service.errors import StoreUnavailable

log = structlog.get_logger(__name__)

RENEWALS_PER_LEASE = 5
"""Three may fail or come late (some libraries keep Python from running for up to 2 s) before it expires."""
_RETRY_SECONDS = 0.5
"""After a server that was away: it must hear of this worker before a janitor takes its work for lost."""


class Lease:
    """As a block: renews from its start to its end."""

    def __init__(self, renew: Callable[[], bool], seconds: float) -> None:
        """`renew` tells whether the work is still this worker's; `seconds` is what a renewal gives."""
        self._renew = renew
        self._interval = seconds / RENEWALS_PER_LEASE
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether the work has gone on without this worker: nothing that it makes is wanted any more."""
        return self._lost.is_set()

    def lose(self) -> None:
        """The store has said so in another answer."""
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
            except StoreUnavailable as error:  # the work goes on: servers come back
                wait = min(_RETRY_SECONDS, self._interval)
                log.warning("lease_not_renewed", reason=error.message)
