"""The machine that the numbers come from."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import av
import numba
import numpy as np

from sadtalker_service.bench.cores import load, processor, usable_cores


@dataclass(frozen=True)
class Machine:
    """Hardware and versions that determine the speed."""

    processor: str
    cores: int
    """Cores that the measurement may use."""
    load: float
    """Mean number of processes that wanted a core in the minute before the measurement."""
    python: str
    packages: str


def this_machine() -> Machine:
    """The machine as this process sees it."""
    return Machine(
        processor=processor(),
        cores=usable_cores(),
        load=load(),
        python=platform.python_version(),
        packages=f"numba {numba.__version__}, numpy {np.__version__}, PyAV {av.__version__}",
    )
