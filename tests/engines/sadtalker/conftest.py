"""Synthetic checkpoints in the official layout, written once and loaded by the real loader."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.support.sadtalker_weights import GOLDEN, MAPPING, write_mapping, write_networks

if TYPE_CHECKING:
    from sadtalker_service.engines.sadtalker.checkpoints.loading import Networks
    from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer

THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
"""Threads per process. Threads that wait for each other on busy cores cost more than they save."""
# for threads that torch's own setting does not affect
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
log = logging.getLogger(__name__)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the three files. They take 0.8 GB, so parallel test processes share them, and they are
    removed at the end instead of being left to pytest, which keeps such folders for a while. Tests that use
    it are skipped without torch."""
    pytest.importorskip("torch")
    base = tmp_path_factory.getbasetemp()
    with shared_folder(
        (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "checkpoints"
    ) as folder:
        yield folder


@contextmanager
def shared_folder(folder: Path) -> Iterator[Path]:
    """Context manager: the first process writes the files, the last one removes them."""
    lock, users = folder.with_suffix(".lock"), folder.with_suffix(".users")
    with locked(lock):
        count = int(users.read_text()) if users.exists() else 0
        if not count:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            write_networks(folder / "SadTalker_V0.0.2_256.safetensors")
            for coefficients, stem in MAPPING.items():
                write_mapping(folder / f"{stem}-model.pth.tar", coefficients)
        users.write_text(str(count + 1))
    try:
        yield folder
    finally:
        with locked(lock):
            count = int(users.read_text()) - 1
            users.write_text(str(count))
            if not count:
                shutil.rmtree(folder)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Context manager that only one process can hold at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def networks(checkpoints: Path) -> Networks:
    """The networks in the trained form, newly loaded, so tests may use them up."""
    from sadtalker_service.engines.sadtalker.checkpoints.layout import CheckpointFolder
    from sadtalker_service.engines.sadtalker.checkpoints.loading import load_networks

    return load_networks(CheckpointFolder(checkpoints).networks(256))


@pytest.fixture(scope="session")
def renderer(checkpoints: Path) -> FaceRenderer:
    """The renderer in its form for a CPU. Tests must not change it."""
    from sadtalker_service.engines.sadtalker.checkpoints.layout import CheckpointFolder
    from sadtalker_service.engines.sadtalker.checkpoints.loading import load_networks
    from sadtalker_service.engines.sadtalker.renderer.host_memory import keep_freed_memory
    from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer

    keep_freed_memory()
    found = load_networks(CheckpointFolder(checkpoints).networks(256))
    return FaceRenderer(found.generator, found.keypoint_detector).run_frames_on_tiles()


@pytest.fixture(autouse=True)
def evaluation() -> Iterator[None]:
    """No gradients, at most two threads. Does nothing if torch is not installed."""
    if find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(THREADS, before))
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


class Golden:
    """Outputs of the original networks. Some are stored as a sample, together with its stride."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._values = np.load(GOLDEN / f"{name}.npz")

    def __getitem__(self, key: str) -> np.ndarray[Any, Any]:
        return self._values[key]

    def error(self, key: str, found: Any, frames: slice = slice(None)) -> float:
        """Largest difference between `found`, the whole array, and the stored values of `frames`."""
        return float(self.errors(key, found, frames).max())

    def errors(self, key: str, found: Any, frames: slice = slice(None)) -> np.ndarray[Any, Any]:
        """All known differences."""
        stride = self._values.get(f"{key}.stride")
        values = np.asarray(found)
        if stride is not None:
            values = values[tuple(slice(None, None, int(step)) for step in stride)]
        wanted = self._values[key][frames]
        assert values.shape == wanted.shape
        found_errors = np.asarray(np.abs(values.astype(np.float64) - wanted))
        log.info("%s %s: maximum %.2g", self._name, key, found_errors.max())  # shown by --log-cli-level=INFO
        return found_errors


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Golden]:
    """Opens a file of golden values."""
    return Golden
