"""The folder in which the processes of one machine share their counters.

When it is imported, prometheus_client decides by an environment variable whether it counts in memory or in
files. The variable must be set before anything imports `telemetry.metrics`. This module does not import the
library.
"""

from __future__ import annotations

from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def fresh_metrics_folder(folder: Path) -> dict[str, str]:
    """Create an empty `folder` and return the environment for the processes that count in it.

    Each process writes its own files, named by its pid. They outlive it, so that its sums are not lost. The
    first process of a group calls this once, and all counters restart at zero. Raises `OSError`.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for counted in folder.glob("*.db"):
        counted.unlink(missing_ok=True)
    return {VARIABLE: str(folder)}
