"""Measure the seconds spent in each named stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Clock = Callable[[], float]
"""Seconds that never decrease, such as `time.perf_counter`."""


class Stopwatch:
    """Adds up the seconds spent in each stage. Each thread needs its own."""

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Context manager that adds its duration to `stage`, however it ends."""
        start = self._clock()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + self._clock() - start

    @property
    def seconds(self) -> Mapping[str, float]:
        """Stage -> seconds so far, in the order of first use."""
        return dict(self._seconds)
