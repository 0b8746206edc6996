"""What every test run needs: kernels compiled from the present source, programs that can be interrupted, and
real servers for those that ask.

Parallel processes share the work by file. The tests of some folders share something that is expensive to
start: a browser, a service or the neural networks. Each of these folders goes to one process, and they come
first, because they take longest. Files that start a service of their own come next.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers import StoreServer, cache_store, queue_store
from xdist.scheduler.loadscope import LoadScopeScheduling

import sadtalker_service

collect_ignore = ["engines/sadtalker"] if os.environ.get("NEURAL") == "0" else []
"""`make test NEURAL=0` leaves out the neural engine."""
MESH = Path(sadtalker_service.__file__).parent / "engines" / "mesh"
TOGETHER = (
    "tests/engines/sadtalker/renderer/",
    "tests/engines/sadtalker/",
    "tests/service/",
    "tests/browser/",
)
"""Folders whose tests run in one process each. A test belongs to the first that fits."""
APART = tuple(
    f"tests/service/test_{name}.py"
    for name in (
        "serve",
        "workers_die",
        "live_machines",
        "two_users",
        "kills",
        "private",
        "engine_choice",
        "retried_requests",
        "lanes",
        "cancel",
        "cached_videos",
        "worker_metrics",
    )
)
"""Files in these folders that share nothing with the others: any process may take them."""


class ByFileOrFolder(LoadScopeScheduling):
    """Gives each process whole files, and whole folders of `TOGETHER`."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in TOGETHER if file.startswith(folder) and file not in APART), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """The processes' share of the work."""
    return ByFileOrFolder(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the folders of `TOGETHER` first, then the files of `APART`."""
    items.sort(key=lambda item: _place(item.nodeid.partition("::")[0]))


def _place(file: str) -> int:
    if file in APART:
        return len(TOGETHER) + APART.index(file)
    folders = [i for i, folder in enumerate(TOGETHER) if file.startswith(folder)]
    return folders[0] if folders else len(TOGETHER) + len(APART)


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
