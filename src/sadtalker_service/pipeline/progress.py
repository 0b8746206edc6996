"""Reports the progress of a job while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from sadtalker_service.domain import Progress
from sadtalker_service.errors import Cancelled
from sadtalker_service.media.stopwatch import Clock

Listener = Callable[[Progress], None]


class Reporter:
    """Reports progress to a listener, and stops the work if it is cancelled."""

    def __init__(
        self,
        listener: Listener | None = None,
        cancelled: Callable[[], bool] | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        """`cancelled` is called at each stage and after each batch of frames; True stops the work."""
        self._listener = listener
        self._cancelled = cancelled
        self._clock = clock
        self._total = 0
        self._start = 0.0

    def stage(self, name: str) -> None:
        """Report the start of a stage. Raises `Cancelled`."""
        self._report(Progress(name))

    def rendering(self, total: int) -> None:
        """Report that rendering begins: of `total` frames, 0 if unknown. Raises `Cancelled`."""
        self._total = total
        self._start = self._clock()
        self._report(Progress("render", 0, total))

    def frames(self, done: int) -> None:
        """Report that `done` frames are rendered. Raises `Cancelled`."""
        self._done = done
        self._total = max(done, self._total) if self._total else 0  # it may have been an estimate
        seconds = self._clock() - self._start
        fps = done / seconds if seconds > 0 else 0.0
        eta = (self._total - done) / fps if fps > 0 and self._total else None
        self._report(Progress("render", done, self._total, fps, eta))

    def finished(self, total: int) -> None:
        """Report that all `total` frames are rendered, if the number was not known. Raises `Cancelled`."""
        if self._total != total:
            self._total = total
            self.frames(total)

    def check(self) -> None:
        """Raise `Cancelled` if the work must stop; for waits without progress to report."""
        if self._cancelled and self._cancelled():
            raise Cancelled("The work was stopped on request.")

    def _report(self, progress: Progress) -> None:
        self.check()
        if self._listener:
            self._listener(progress)
