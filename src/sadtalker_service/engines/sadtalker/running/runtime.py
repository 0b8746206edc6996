"""Everything of the engine that needs torch, behind arrays: made once, when the first network is needed."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.enhancing.enhancers import Enhancers
from sadtalker_service.engines.sadtalker.rendering.renderer import EncodedSource, Scene
from sadtalker_service.engines.sadtalker.running.batch_size import suggested_batch
from sadtalker_service.engines.sadtalker.running.device import choose_place
from sadtalker_service.engines.sadtalker.running.frames import FramePainter
from sadtalker_service.engines.sadtalker.running.models import Models
from sadtalker_service.engines.sadtalker.running.motion import MotionNetworks


@dataclass(frozen=True)
class RuntimeOptions:
    """The settings of the same names, `SADTALKER_...`."""

    checkpoints: Path
    device: str = "auto"
    precision: str = "auto"
    batch_size: int = 0
    compiled: bool = False


class Runtime:
    """The networks on their device. For several threads."""

    def __init__(self, options: RuntimeOptions) -> None:
        """Raises `EngineUnavailable` for a device that is not there."""
        self.place = choose_place(options.device, options.precision)
        self._options = options
        self._models = Models(options.checkpoints, self.place)
        self._enhancers = Enhancers(options.checkpoints, self.place)
        self._lock = threading.Lock()
        self._painters: dict[int, FramePainter] = {}

    def motion(self, size: int) -> MotionNetworks:
        """The networks that run once per avatar or video, for pictures of 256 or 512."""
        return MotionNetworks(self._models, size)

    def frames(
        self,
        size: int,
        volume: NDArray[np.float16],
        source: NDArray[np.float32],
        driving: NDArray[np.float32],
        limit: int | None = None,
    ) -> Generator[Uint8Image]:
        """Frames of one video, see `FramePainter.paint`.

        volume, source: of `EncodedFace`, the latter its keypoints. driving: (F, 15, 3) keypoints.
        """
        painter, scene = self._painter(size), self._scene(size, volume, source)
        yield from painter.paint(scene, self._tensor(driving), limit)

    def warm_up(self, size: int, *, placed: bool) -> None:
        """Load the networks and draw a frame, in the batch size that will be used; compile them before, if
        that is wanted. Networks that are not warmed up are never compiled: no request waits for it."""
        side, compiled = size // 4, self._options.compiled
        self._models.mapping(placed=placed)
        if compiled:
            renderer = self._models.of_size(size).renderer
            renderer.decoder.compile()
            renderer.motion.hourglass.compile()
        count = self._painter(size, padded=compiled).batch_size if compiled or self.place.on_gpu else 1
        volume, source = np.zeros((32, 16, side, side), np.float16), np.zeros((15, 3), np.float32)
        for _ in self.frames(size, volume, source, np.zeros((count, 15, 3), np.float32)):
            pass

    @property
    def enhancers(self) -> Enhancers:
        """What restores faces and backgrounds, on the same device."""
        return self._enhancers

    @torch.inference_mode()
    def _scene(self, size: int, volume: NDArray[np.float16], source: NDArray[np.float32]) -> Scene:
        renderer = self._models.of_size(size).renderer
        encoded = EncodedSource(self._tensor(volume)[None].float(), self._tensor(source)[None])
        return renderer.scene(encoded, self._tensor(source)[None])

    def _tensor(self, values: NDArray) -> Tensor:
        return torch.from_numpy(np.array(values, order="C")).to(self.place.device)

    def _painter(self, size: int, *, padded: bool = False) -> FramePainter:
        renderer = self._models.of_size(size).renderer
        with self._lock:
            if size not in self._painters:
                batch = self._options.batch_size or suggested_batch(self.place, size)
                self._painters[size] = FramePainter(renderer, batch, padded=padded)
            return self._painters[size]
