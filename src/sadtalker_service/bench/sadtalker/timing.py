"""Timing of work that a GPU does asynchronously."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

Run = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Wall time and processor time in seconds."""

    wall: float
    cpu: float
    """Over all threads. Less affected by other work."""


class Clock:
    """Measures the time of work on one device."""

    def __init__(self, device: torch.device, repeats: int) -> None:
        """`repeats`: runs per median."""
        self._device = device
        self._repeats = repeats
        self._warm_ups = 2 if device.type == "cuda" else 1

    def now(self) -> Times:
        """The time once the device has finished all its work."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return Times(time.perf_counter(), time.process_time())

    def times(self, run: Run) -> Times:
        """The times of one run."""
        before = self.now()
        run()
        after = self.now()
        return Times(after.wall - before.wall, after.cpu - before.cpu)

    def medians(self, runs: Mapping[str, Run]) -> dict[str, Times]:
        """The median times of each run. Runs alternate, so that other work on the machine affects all
        alike."""
        for run in (run for run in runs.values() for _ in range(self._warm_ups)):
            run()
        rounds = [{name: self.times(run) for name, run in runs.items()} for _ in range(self._repeats)]
        return {
            name: Times(
                median(times[name].wall for times in rounds), median(times[name].cpu for times in rounds)
            )
            for name in runs
        }
