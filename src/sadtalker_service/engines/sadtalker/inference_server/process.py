"""The inference server as a process: how it is run, and how a service starts it."""

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
"""What torch and its libraries say."""


def run_server(settings: Settings, address: Path, is_default: Callable[[], bool]) -> None:
    """Answer on a socket until the main thread is told to end, which ends the process.

    Where `is_default` says so, when somebody can ask already, the networks for the default size are loaded
    before they are asked for. Raises `EngineUnavailable`.
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
    further calls fail, until a new process takes it. Memory that is short is no such fault."""
    return isinstance(error, RuntimeError) and bool(
        _FAULT.match(str(error)) and not _SHORTAGE.search(str(error))
    )
