"""Filters equal those of a library that designs them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.signal import firwin

from sadtalker_service.media.low_pass import low_pass


@pytest.mark.parametrize(("taps", "cutoff", "beta"), [(31, 0.5, 5.0), (97, 0.92 / 3, 8.0), (64, 0.1, 8.0)])
def test_filters_equal_those_of_scipy(taps: int, cutoff: float, beta: float) -> None:
    wanted = firwin(taps, cutoff, window=("kaiser", beta))
    np.testing.assert_allclose(low_pass(taps, cutoff, beta), wanted, rtol=0, atol=1e-12)


def test_live_sessions_start_without_the_slow_import() -> None:
    program = "import sys, sadtalker_service.worker.live.process; print('scipy.stats' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
