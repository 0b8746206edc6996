"""Load checkpoints as networks that are ready to run, each on first use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sadtalker_service.engines.sadtalker.checkpoints.layout import CheckpointFolder
from sadtalker_service.engines.sadtalker.checkpoints.loading import load_mapping, load_networks
from sadtalker_service.engines.sadtalker.device import DeviceConfig
from sadtalker_service.engines.sadtalker.networks.audio_to_expression import AudioToExpression
from sadtalker_service.engines.sadtalker.networks.audio_to_pose import AudioToPose
from sadtalker_service.engines.sadtalker.networks.face_regression import FaceRegression
from sadtalker_service.engines.sadtalker.networks.fusing import prepare
from sadtalker_service.engines.sadtalker.networks.mapping import CLOSE_UP, FULL
from sadtalker_service.engines.sadtalker.networks.mapping import Mapping as MappingNetwork
from sadtalker_service.engines.sadtalker.renderer.arithmetic import use_full_float32
from sadtalker_service.engines.sadtalker.renderer.host_memory import keep_freed_memory
from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer

Key = TypeVar("Key", int, bool)
Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class SizedNetworks:
    """The networks of one file in the inference form, on their device."""

    face_regression: FaceRegression
    audio_to_expression: AudioToExpression
    audio_to_pose: AudioToPose
    renderer: FaceRenderer


class Models:
    """The networks of a checkpoint folder. Thread-safe."""

    def __init__(self, folder: Path, device_config: DeviceConfig) -> None:
        self.device_config = device_config
        self._folder = CheckpointFolder(folder)
        self._lock = threading.Lock()
        self._sized: dict[int, SizedNetworks] = {}
        self._mappings: dict[bool, MappingNetwork] = {}
        if device_config.on_gpu:
            use_full_float32()

    def of_size(self, size: int) -> SizedNetworks:
        """The networks for frames of 256 or 512. Raises `EngineUnavailable`."""
        return self._load_once(self._sized, size, self._load_sized)

    def mapping(self, *, full_frame: bool) -> MappingNetwork:
        """The network for 73 coefficients per frame, or for 70 unless `full_frame`. Raises
        `EngineUnavailable`."""
        return self._load_once(self._mappings, full_frame, self._load_mapping)

    def _load_once(self, loaded: dict[Key, Loaded], key: Key, load: Callable[[Key], Loaded]) -> Loaded:
        with self._lock:
            if key not in loaded:
                loaded[key] = load(key)
            return loaded[key]

    def _load_sized(self, size: int) -> SizedNetworks:
        found = load_networks(self._folder.networks(size))
        device = self.device_config.device
        if not self.device_config.on_gpu:
            keep_freed_memory()
        return SizedNetworks(
            face_regression=prepare(found.face_regression).to(device),
            audio_to_expression=prepare(found.audio_to_expression).to(device),
            audio_to_pose=prepare(found.audio_to_pose).to(device),
            renderer=self._renderer(
                FaceRenderer(found.generator.to(device), found.keypoint_detector.to(device))
            ),
        )

    def _renderer(self, renderer: FaceRenderer) -> FaceRenderer:
        device_config = self.device_config
        renderer.run_frames_in(device_config.dtype, channels_last=device_config.on_gpu)
        if not device_config.on_gpu and device_config.dtype.itemsize == 4:
            renderer.run_frames_on_tiles()
        return renderer

    def _load_mapping(self, full_frame: bool) -> MappingNetwork:
        coefficients = FULL if full_frame else CLOSE_UP
        network = load_mapping(self._folder.mapping(coefficients), coefficients)
        return prepare(network).to(self.device_config.device)
