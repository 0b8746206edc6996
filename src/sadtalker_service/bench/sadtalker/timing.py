"""Timing of work that a GPU does in its own time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch

Run = Callable[[], object]


class Clock:
    """Times work on one device."""

    def __init__(self, device: torch.device, repeats: int) -> None:
        """`repeats`: runs per median."""
        self._device = device
        self._repeats = repeats
        self._warm_ups = 2 if device.type == "cuda" else 1

    def now(self) -> float:
        """Seconds, when all that the device was given is done."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def seconds(self, run: Run) -> float:
        """Of one run."""
        before = self.now()
        run()
        return self.now() - before

    def medians(self, runs: Mapping[str, Run]) -> dict[str, float]:
        """Seconds of each, in turns, so that other work on the machine disturbs all of them alike."""
        for run in (run for run in runs.values() for _ in range(self._warm_ups)):
            run()
        rounds = [{name: self.seconds(run) for name, run in runs.items()} for _ in range(self._repeats)]
        return medians(rounds)


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Name by name."""
    return {name: statistics.median(times[name] for times in rounds) for name in rounds[0]}
