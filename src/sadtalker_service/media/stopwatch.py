"""Measure the seconds spent in each named stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

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


def measured(items: Iterator[T], watch: Stopwatch, stage: str) -> Iterator[T]:
    """Give `items`, and add the seconds until each one arrives to `stage`, in the thread that takes it."""
    while True:
        with watch(stage):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


def apart(
    seconds: Mapping[str, float], outer: str, inner: str, of: Mapping[str, float] | None = None
) -> Mapping[str, float]:
    """Subtract the seconds of stage `inner`, which ran within `outer`, from those of `outer`.

    `of` holds the seconds of `inner`; by default that is `seconds`.
    """
    within = (seconds if of is None else of).get(inner, 0.0)
    return {stage: max(0.0, s - within) if stage == outer else s for stage, s in seconds.items()}
