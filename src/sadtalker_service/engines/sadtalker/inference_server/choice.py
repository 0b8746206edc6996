"""Choose the networks of a process: its own, or an inference server. Only its own need torch."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from sadtalker_service.engines.sadtalker.inference_server.client import RemoteInference
from sadtalker_service.engines.sadtalker.readiness import Readiness
from sadtalker_service.settings import Settings

if TYPE_CHECKING:
    from sadtalker_service.engines.sadtalker.inference_port import Inference, LocalInference

_RUNTIME = "sadtalker_service.engines.sadtalker.runtime.runtime"


def choose_inference(settings: Settings, ready: Readiness) -> Inference:
    """The networks that the settings select. Loads nothing yet. Raises `EngineUnavailable`."""
    if settings.sadtalker_inference is not None:
        return RemoteInference(settings.sadtalker_inference.expanduser(), ready.version())
    return local_inference(settings)


def local_inference(settings: Settings, on_batch: Callable[[int, int], None] | None = None) -> LocalInference:
    """Networks in this process. Raises `EngineUnavailable` if the device does not exist.

    `on_batch` is called after each batch with the number of videos that share it and its number of frames.
    """
    module = import_module(_RUNTIME)
    options = module.RuntimeOptions(
        checkpoints=settings.checkpoints_folder,
        device=settings.sadtalker_device,
        precision=settings.sadtalker_precision,
        batch_size=settings.sadtalker_batch_size,
        compiled=settings.sadtalker_compile,
    )
    inference: LocalInference = module.Runtime(options, on_batch)
    return inference
