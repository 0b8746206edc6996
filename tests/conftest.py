"""What every test run needs: kernels compiled from the present source, programs that can be interrupted, and
real servers for those that ask."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.servers import StoreServer, cache_store, queue_store

import sadtalker_service

collect_ignore = ["engines/sadtalker"] if os.environ.get("NEURAL") == "0" else []
"""`make test NEURAL=0` leaves out the neural engine."""
MESH = Path(sadtalker_service.__file__).parent / "engines" / "mesh"


def pytest_sessionstart() -> None:
    """Prepare both."""
    # a run in the background inherits that interrupts are ignored, and so would the programs that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _forget_stale_kernels()


def _forget_stale_kernels() -> None:
    """Remove cached machine code that is older than a source it was made from.

    numba compiles a kernel anew when the kernel's own file changes, not when one that it calls or a constant
    that it takes from another file does.
    """
    cached = [*(MESH / "kernels" / "__pycache__").glob("*.nbi")]
    sources = [*(MESH / "kernels").glob("*.py"), MESH / "channels.py"]
    newest = max(path.stat().st_mtime for path in sources)
    if any(path.stat().st_mtime < newest for path in cached):
        for path in cached:
            path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def _queue_store() -> Iterator[StoreServer]:
    yield from _running(queue_store())


@pytest.fixture(scope="module")
def _cache_store() -> Iterator[StoreServer]:
    yield from _running(cache_store())


@pytest.fixture
def queue_server(_queue_store: StoreServer) -> StoreServer:
    """A running queue server without any keys."""
    return _emptied(_queue_store)


@pytest.fixture
def cache_server(_cache_store: StoreServer) -> StoreServer:
    """A running cache server without any keys."""
    return _emptied(_cache_store)


def _running(server: StoreServer) -> Iterator[StoreServer]:
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _emptied(server: StoreServer) -> StoreServer:
    if not server.running:
        server.start()
    server.client().flushall()
    return server
