"""The inference server as a process: how it is run, and how a service starts it."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from sadtalker_service.engines.base import Helper
from sadtalker_service.engines.sadtalker.inference.choice import local_inference
from sadtalker_service.engines.sadtalker.inference.server import InferenceServer, is_listening
from sadtalker_service.engines.sadtalker.readiness import readiness
from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.settings import Settings
from sadtalker_service.telemetry import metrics

SOCKET = "inference.sock"


def run_server(settings: Settings, address: Path, *, warm: bool) -> None:
    """Answer on a socket until the main thread is interrupted.

    `warm`: load the networks for the default size at once, not when they are first asked for. Raises
    `EngineUnavailable`.
    """
    ready = readiness(settings.checkpoints_folder)
    if (obstacle := ready.obstacle()) is not None:
        raise EngineUnavailable(f"The inference server cannot run here: {obstacle}")
    load = partial(local_inference, settings, metrics.inference_batch)
    server = InferenceServer(ready, load, device_is_lost)
    if warm:
        server.warm_up(ready.default_size, placed=ready.places)
    server.serve(address)


def helper(settings: Settings, folder: Path) -> Helper | None:
    """The process, with its socket in `folder`. None where it cannot run, or the settings name another."""
    if settings.sadtalker_inference is not None or readiness(settings.checkpoints_folder).obstacle():
        return None
    address = folder / SOCKET
    return Helper(
        name="inference",
        argv=(sys.executable, "-m", "sadtalker_service", "inference", "--socket", str(address)),
        environment={"SADTALKER_INFERENCE": str(address)},
        is_ready=partial(is_listening, address),
    )


def device_is_lost(error: Exception) -> bool:
    """Whether the device is of no use to this process any more: after a fault in one of a GPU's programs all
    further calls fail, until a new process takes it."""
    return isinstance(error, RuntimeError) and str(error).startswith("CUDA error")
