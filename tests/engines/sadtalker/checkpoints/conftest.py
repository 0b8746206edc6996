"""Checkpoints are listed, downloaded and verified where torch is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.checkpoint_server import FileServer, Waits, file_server

from sadtalker_service.engines.sadtalker.checkpoints.transfer import OnProgress


@pytest.fixture(autouse=True)
def evaluation() -> None:
    """In the place of the fixture for networks: nothing here needs torch."""


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A file server of this test's own."""
    with file_server() as running:
        yield running


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client that waits a second at most."""
    with httpx.Client(follow_redirects=True, timeout=1.0, trust_env=False) as opened:
        yield opened


@pytest.fixture
def waits() -> Waits:
    """A clock that stands still."""
    return Waits()


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """An empty file to fill."""
    path = tmp_path / ".weights.part"
    path.touch()
    return path


@pytest.fixture
def quiet() -> OnProgress:
    """Nobody listens."""
    return lambda _done, _total: None
