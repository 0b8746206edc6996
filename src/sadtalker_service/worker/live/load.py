"""How busy a live worker is, measured."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 5.0


class LoadMeter:
    """A number between 0 and 1 over the last seconds.

    It is the larger of two: the share of this machine's processors that the process takes, and the share of
    its frames that were late. The second is high on a machine that is busy with other work.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        processor_seconds: Callable[[], float] = time.process_time,
        cores: int | None = None,
    ) -> None:
        """`processor_seconds` returns the time that the process has taken on all processors."""
        self._clock = clock
        self._processor_seconds = processor_seconds
        self._cores = cores or len(os.sched_getaffinity(0))
        self._seen: deque[tuple[float, float, int, int]] = deque([(clock(), processor_seconds(), 0, 0)])

    def measure(self, frames: int, late: int) -> float:
        """The load now. `frames` and `late` are totals since the start, over all sessions."""
        now = self._clock()
        self._seen.append((now, self._processor_seconds(), frames, late))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW_SECONDS:
            self._seen.popleft()
        (then, spent, frames_then, late_then), (_, spent_now, _, _) = self._seen[0], self._seen[-1]
        busy = (spent_now - spent) / max(1e-9, (now - then) * self._cores)
        drawn = frames - frames_then
        return min(1.0, max(busy, (late - late_then) / drawn if drawn else 0.0))
