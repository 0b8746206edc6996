"""One real service for all tests of this folder that leave it intact."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.running_service import RunningService

LIVE_GRACE, LIVE_IDLE, LIVE_QUEUE = 2.0, 3.0, 8.0
"""Seconds, see the settings of live sessions."""
LIVE = {
    "LIVE_SLOTS": "2",
    # tests share the processors with others
    "LIVE_MAX_LOAD": "1",
    "LIVE_GRACE_SECONDS": str(LIVE_GRACE),
    "LIVE_IDLE_SECONDS": str(LIVE_IDLE),
    "LIVE_QUEUE_SECONDS": str(LIVE_QUEUE),
}


@pytest.fixture(scope="session")
def service() -> Iterator[RunningService]:
    """A ready service with the mesh engine, one worker and two slots for live sessions."""
    folder = Path(tempfile.mkdtemp(prefix="st-"))  # pytest's own paths are too long for a socket
    with RunningService(folder, LIVE) as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder for a separate service."""
    folder = Path(tempfile.mkdtemp(prefix="st-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
