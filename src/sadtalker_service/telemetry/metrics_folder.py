"""The folder in which the processes of one machine count together.

prometheus_client decides when it is imported whether it counts in memory or in files, by a variable of the
environment: a process must have it from its start, or set it before anything imports `telemetry.metrics`.
Nothing here imports that library.
"""

from __future__ import annotations

from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def fresh_metrics_folder(folder: Path) -> dict[str, str]:
    """Make `folder`, empty, and give the environment of the processes that shall count in it.

    Each process writes files of its own, named by its number; they outlive it, so that its sums are not lost.
    The first process of a group calls this, once: counters begin at zero again. Raises `OSError`.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for counted in folder.glob("*.db"):
        counted.unlink(missing_ok=True)
    return {VARIABLE: str(folder)}
