"""The cores of this machine and their load. Needs only Python."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CoreTime:
    """Counters of the cores of this (virtual) machine since it started, in ticks."""

    wanted: int
    """Ticks in which a core had work to do."""
    stolen: int
    """The part of `wanted` in which the host gave the core to another virtual machine."""


def core_time() -> CoreTime:
    """The current counters (`man 5 proc`, /proc/stat)."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _io, irq, softirq, steal = ticks
    return CoreTime(user + nice + system + irq + softirq + steal, steal)


def stolen_share(before: CoreTime, after: CoreTime) -> float:
    """Share of the wanted time that the host took away, 0..1. Wall times are longer by this share."""
    return (after.stolen - before.stolen) / max(1, after.wanted - before.wanted)


@contextmanager
def limited_to(cores: int) -> Iterator[None]:
    """Context manager that limits this process, its new threads and its children to `cores` cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def usable_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def load() -> float:
    """Mean number of processes that wanted a core in the last minute."""
    return round(os.getloadavg()[0], 1)


def processor() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()
