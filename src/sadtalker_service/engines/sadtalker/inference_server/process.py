"""The inference server as a process: how to run it, and how a service starts it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sadtalker_service.engines.port import Helper
from sadtalker_service.engines.sadtalker.inference_server.choice import local_inference
from sadtalker_service.engines.sadtalker.inference_server.server import InferenceServer, is_listening
from sadtalker_service.engines.sadtalker.readiness import readiness
from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.settings import Settings
from sadtalker_service.telemetry import metrics

SOCKET = "inference.sock"
_FAULT = re.compile(r"CUDA error|cuDNN error: CUDNN_STATUS_(EXECUTION|INTERNAL)|Triton Error \[CUDA\]")
_SHORTAGE = re.compile(r"out of memory|ALLOC_FAILED")
"""Error messages of torch and its libraries."""


def run_server(settings: Settings, address: Path, is_default: Callable[[], bool]) -> None:
    """Serve on a socket until the main thread is told to stop, which ends the process.

    If `is_default` returns true, the networks for the default size load before the first request. This starts
    once clients can connect. Raises `EngineUnavailable`.
    """
    folder = settings.checkpoints_folder
    ready = readiness(folder)
    if (obstacle := ready.obstacle()) is not None:
        raise EngineUnavailable(f"The inference server cannot run here: {obstacle}")
    load = partial(local_inference, settings, metrics.inference_batch)
    server = InferenceServer(lambda: readiness(folder).version(), load, device_is_lost)

    def warm_up() -> None:
        if is_default():
            server.warm_up(ready.default_size, full_frame=ready.full_frame)

    server.serve(address, warm_up)


def helper(settings: Settings, folder: Path) -> Helper | None:
    """The process, with its socket in `folder`. None if it cannot run, or if the settings name another
    server."""
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
    """Whether this process can no longer use the device. After a fault in a GPU program, all further calls
    fail until a new process takes the device. A lack of memory is not such a fault."""
    return isinstance(error, RuntimeError) and bool(
        _FAULT.match(str(error)) and not _SHORTAGE.search(str(error))
    )
