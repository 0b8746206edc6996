"""Enhancers, each loaded on first use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import structlog
import torch
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.device import DeviceConfig
from sadtalker_service.engines.sadtalker.enhancing.available import FILES, enhancer_file
from sadtalker_service.engines.sadtalker.enhancing.backgrounds import TiledUpscaler
from sadtalker_service.engines.sadtalker.enhancing.faces import FaceRestorer
from sadtalker_service.engines.sadtalker.enhancing.loading import Descriptor, load_descriptor
from sadtalker_service.engines.sadtalker.enhancing.port import BackgroundEnhancer, FaceEnhancer
from sadtalker_service.errors import EngineUnavailable

log = structlog.get_logger(__name__)

Enhancer = TypeVar("Enhancer", FaceRestorer, TiledUpscaler)

_FACES_ON_GPU = 4
"""Faces per batch. This many of 512 x 512 fill a GPU."""
_TILE_ON_CPU = 256
_TILE_ON_GPU = 512
"""Side of a background tile. In float32 a tile takes about 0.25 GB on a CPU and 1 GB on a GPU."""


def gfpgan(model: nn.Module, faces: Tensor) -> Tensor:
    """GFPGAN in -1..1, the range it was trained for.

    spandrel's own call passes 0..1 and clips the output below 0. Both spandrel and the published program let
    the network add fresh noise to each image. With the noise stored in the weights, equal requests give equal
    videos.
    """
    drawn: Tensor = model(faces, return_rgb=False, randomize_noise=False)[0]
    return drawn


def restoreformer(model: nn.Module, faces: Tensor) -> Tensor:
    """RestoreFormer in -1..1."""
    drawn: Tensor = model(faces)[0]
    return drawn


_FACE_NETWORKS: Mapping[str, tuple[str, Callable[[nn.Module, Tensor], Tensor]]] = MappingProxyType(
    {"gfpgan": ("GFPGAN", gfpgan), "RestoreFormer": ("RestoreFormer", restoreformer)}
)
"""Enhancer -> spandrel's name of its network, and the function that calls it."""
_BACKGROUND_NETWORKS: Mapping[str, str] = MappingProxyType({"realesrgan": "ESRGAN"})
_FULL_PRECISION = frozenset({"RestoreFormer"})
"""Enhancers that need float32. RestoreFormer looks up the nearest entry of a code book, and rounding finds
another entry."""


class Enhancers:
    """The enhancers of a checkpoint folder, on a device. Thread-safe."""

    def __init__(self, folder: Path, device_config: DeviceConfig) -> None:
        """`device_config`: its dtype is used on a GPU, for the networks that support it."""
        self._folder = folder
        self._device_config = device_config
        self._lock = threading.Lock()
        self._faces: dict[str, FaceRestorer] = {}
        self._backgrounds: dict[str, TiledUpscaler] = {}

    def of_faces(self, name: str) -> FaceEnhancer:
        """`gfpgan` or `RestoreFormer`. Raises `EngineUnavailable`."""
        return self._once(self._faces, name, _FACE_NETWORKS, self._load_face)

    def of_backgrounds(self, name: str) -> BackgroundEnhancer:
        """`realesrgan`. Raises `EngineUnavailable`."""
        return self._once(self._backgrounds, name, _BACKGROUND_NETWORKS, self._load_background)

    def _once(
        self,
        loaded: dict[str, Enhancer],
        name: str,
        names: Mapping[str, object],
        load: Callable[[str], Enhancer],
    ) -> Enhancer:
        if name not in names:
            raise EngineUnavailable(f"There is no enhancer {name} for this. Choose from {', '.join(names)}.")
        with self._lock:
            if name not in loaded:
                loaded[name] = load(name)
            return loaded[name]

    def _load_face(self, name: str) -> FaceRestorer:
        architecture, call = _FACE_NETWORKS[name]
        found, dtype = self._load(name, architecture)
        at_once = _FACES_ON_GPU if self._device_config.on_gpu else 1
        return FaceRestorer(partial(call, found.model), self._device_config.device, dtype, at_once=at_once)

    def _load_background(self, name: str) -> TiledUpscaler:
        found, dtype = self._load(name, _BACKGROUND_NETWORKS[name])
        tile = _TILE_ON_GPU if self._device_config.on_gpu else _TILE_ON_CPU
        return TiledUpscaler(found, found.scale, self._device_config.device, dtype, tile=tile)

    def _load(self, name: str, architecture: str) -> tuple[Descriptor, torch.dtype]:
        found = load_descriptor(enhancer_file(self._folder, name), architecture, FILES[name])
        dtype = self._dtype(found)
        found.model.to(self._device_config.device, dtype)
        log.info("enhancer_loaded", enhancer=name, device=str(self._device_config.device), dtype=str(dtype))
        return found, dtype

    def _dtype(self, found: Descriptor) -> torch.dtype:
        """Half precision only on a GPU, and only if the network supports it."""
        wanted = self._device_config.dtype
        bears = {torch.float16: found.supports_half, torch.bfloat16: found.supports_bfloat16}
        if not self._device_config.on_gpu or found.architecture.id in _FULL_PRECISION:
            return torch.float32
        return wanted if bears.get(wanted, False) else torch.float32
