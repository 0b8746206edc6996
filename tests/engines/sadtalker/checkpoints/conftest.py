"""Checkpoints can be listed, downloaded and verified without torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.checkpoint_server import FileServer, Waits, file_server

from sadtalker_service.engines.sadtalker.checkpoints.transfer import OnProgress


@pytest.fixture(autouse=True)
def evaluation() -> None:
    """Overrides the fixture for networks, because nothing here needs torch."""


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A new file server for each test."""
    with file_server() as running:
        yield running


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client with a timeout of one second."""
    with httpx.Client(follow_redirects=True, timeout=1.0, trust_env=False) as opened:
        yield opened


@pytest.fixture
def waits() -> Waits:
    """A clock that does not advance."""
    return Waits()


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """An empty file to fill."""
    path = tmp_path / ".weights.part"
    path.touch()
    return path


@pytest.fixture
def quiet() -> OnProgress:
    """A progress callback that does nothing."""
    return lambda _done, _total: None
