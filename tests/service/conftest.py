"""One real service for all tests of this folder that leave it intact."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.running_service import RunningService


@pytest.fixture(scope="session")
def service() -> Iterator[RunningService]:
    """A ready service with the mesh engine and one worker."""
    folder = Path(tempfile.mkdtemp(prefix="st-"))  # pytest's own paths are too long for a socket
    with RunningService(folder) as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder for a separate service."""
    folder = Path(tempfile.mkdtemp(prefix="st-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
