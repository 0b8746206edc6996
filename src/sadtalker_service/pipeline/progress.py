"""How far a piece of work has come, as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable

from sadtalker_service.domain import Progress
from sadtalker_service.errors import Cancelled
from sadtalker_service.media.stopwatch import Clock

Listener = Callable[[Progress], None]


class Reporter:
    """Tells a listener how far the work is, and ends it when it is cancelled."""

    def __init__(
        self,
        listener: Listener | None = None,
        cancelled: Callable[[], bool] | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        """`cancelled` is asked at each stage and after each batch of frames whether to stop."""
        self._listener = listener
        self._cancelled = cancelled
        self._clock = clock
        self._total = 0
        self._start = 0.0

    def stage(self, name: str) -> None:
        """A stage begins. Raises `Cancelled`."""
        self._tell(Progress(name))

    def rendering(self, total: int) -> None:
        """Rendering of `total` frames begins. Raises `Cancelled`."""
        self._total = total
        self._start = self._clock()
        self._tell(Progress("render", 0, total))

    def frames(self, done: int) -> None:
        """`done` frames are rendered. Raises `Cancelled`."""
        seconds = self._clock() - self._start
        fps = done / seconds if seconds > 0 else 0.0
        eta = (self._total - done) / fps if fps > 0 else None
        self._tell(Progress("render", done, self._total, fps, eta))

    def check(self) -> None:
        """Raises `Cancelled` where the work shall end; for waits in which there is nothing to tell."""
        if self._cancelled and self._cancelled():
            raise Cancelled("The work was stopped on request.")

    def _tell(self, progress: Progress) -> None:
        self.check()
        if self._listener:
            self._listener(progress)
