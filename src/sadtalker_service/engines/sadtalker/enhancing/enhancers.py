"""Enhancers, each loaded when it is first needed."""

from __future__ import annotations

from pathlib import Path

import torch

from sadtalker_service.engines.sadtalker.enhancing.port import BackgroundEnhancer, FaceEnhancer
from sadtalker_service.errors import EngineUnavailable


class Enhancers:
    """Those of a folder of checkpoints, on a device. For several threads."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._folder = folder
        self._device = device

    def of_faces(self, name: str) -> FaceEnhancer:
        """`gfpgan` or `RestoreFormer`. Raises `EngineUnavailable`."""
        raise EngineUnavailable(f"The enhancer {name} is not there.")

    def of_backgrounds(self, name: str) -> BackgroundEnhancer:
        """`realesrgan`. Raises `EngineUnavailable`."""
        raise EngineUnavailable(f"The enhancer {name} is not there.")
