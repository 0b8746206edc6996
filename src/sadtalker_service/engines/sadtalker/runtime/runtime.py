"""Everything in the engine that needs torch, behind `inference_port`. Created when the first network is
needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.device import choose_device
from sadtalker_service.engines.sadtalker.enhancing.enhancers import Enhancers
from sadtalker_service.engines.sadtalker.inference_port import Networks
from sadtalker_service.engines.sadtalker.renderer.gpu.graphs import SIZES
from sadtalker_service.engines.sadtalker.renderer.renderer import Scene
from sadtalker_service.engines.sadtalker.runtime.batch_size import suggested_batch
from sadtalker_service.engines.sadtalker.runtime.drawing import Drawer
from sadtalker_service.engines.sadtalker.runtime.frames import FramePainter
from sadtalker_service.engines.sadtalker.runtime.gpu_drawing import prepared_drawer
from sadtalker_service.engines.sadtalker.runtime.models import Models
from sadtalker_service.engines.sadtalker.runtime.motion import MotionNetworks
from sadtalker_service.engines.sadtalker.runtime.one_thread import (
    DrawerInThread,
    NetworksInThread,
    OneThread,
)


@dataclass(frozen=True)
class RuntimeOptions:
    """The settings `SADTALKER_...` of the same names."""

    checkpoints: Path
    device: str = "auto"
    precision: str = "auto"
    batch_size: int = 0
    compiled: bool = False


class Runtime:
    """Implements `inference_port.Inference` in this process. Thread-safe."""

    def __init__(self, options: RuntimeOptions, on_batch: Callable[[int, int], None] | None = None) -> None:
        """`on_batch`: see `FramePainter`. Raises `EngineUnavailable` if the device does not exist."""
        self.device_config = choose_device(options.device, options.precision)
        self._options = options
        self._models = Models(options.checkpoints, self.device_config)
        self._enhancers = Enhancers(options.checkpoints, self.device_config)
        self._lock = threading.Lock()
        self._painters: dict[int, FramePainter] = {}
        self._on_batch = on_batch
        self._drawing, self._listening = OneThread("drawing"), OneThread("listening")
        self._warming = threading.Lock()
        self._warm: set[tuple[int, bool]] = set()

    def motion(self, size: int) -> Networks:
        """See `inference_port.Inference`. On a GPU all of them run in one thread."""
        networks = MotionNetworks(self._models, size)
        return NetworksInThread(networks, self._listening) if self.device_config.on_gpu else networks

    def frames(
        self,
        size: int,
        volume: NDArray[np.float16],
        source: NDArray[np.float32],
        driving: NDArray[np.float32],
        limit: int | None = None,
    ) -> Generator[Uint8Image]:
        """See `inference_port.Inference` and `FramePainter.paint`."""
        painter, scene = self._painter(size), self._scene(size, volume, source)
        yield from painter.paint(scene, self._tensor(driving), limit)

    @property
    def drawing_seconds(self) -> float:
        """See `inference_port.LocalInference`."""
        return max((painter.drawing_seconds for painter in self._painters.copy().values()), default=0.0)

    def warm_up(self, size: int, *, full_frame: bool) -> None:
        """See `inference_port.Inference`. A GPU chooses how to compute, captures its graphs and draws a batch
        of each size that will be used. If compilation is enabled, the networks are compiled first. A network
        that is not warmed up is never compiled, so no request waits for it.
        """
        with self._warming:  # several workers may request it
            if (size, full_frame) not in self._warm:
                self._warm_up(size, full_frame=full_frame)
                self._warm.add((size, full_frame))

    @property
    def enhancers(self) -> Enhancers:
        """See `inference_port.Inference`."""
        return self._enhancers

    def _warm_up(self, size: int, *, full_frame: bool) -> None:
        compiled = self._options.compiled
        self._models.mapping(full_frame=full_frame)
        if self.device_config.on_gpu:
            self._listening.run(partial(MotionNetworks(self._models, size).warm_up, full_frame=full_frame))
            self._painter(size, graphs=SIZES)
        elif compiled:
            self._models.of_size(size).renderer.compile_frames()
            self._painter(size, padded=True)
        else:  # on a CPU, a first frame takes no longer than a second one
            self._painter(size)
            return
        volume = np.zeros((32, 16, size // 4, size // 4), np.float16)
        source = np.zeros((15, 3), np.float32)
        driving = np.zeros((2 * self._painter(size).batch_size, 15, 3), np.float32)
        for _ in self.frames(size, volume, source, driving):
            pass

    @torch.inference_mode()
    def _scene(self, size: int, volume: NDArray[np.float16], source: NDArray[np.float32]) -> Scene:
        renderer = self._models.of_size(size).renderer
        return renderer.scene(self._tensor(volume)[None], self._tensor(source)[None])

    def _tensor(self, values: NDArray) -> Tensor:
        return torch.from_numpy(np.array(values, order="C")).to(self.device_config.device)

    def _painter(self, size: int, *, padded: bool = False, graphs: Sequence[int] = ()) -> FramePainter:
        """The painter of a size. Both arguments count only for the first call: `padded` on a CPU, `graphs`,
        the batch sizes to capture, on a GPU."""
        renderer = self._models.of_size(size).renderer
        with self._lock:
            if size not in self._painters:
                drawer = self._gpu_drawer(size, graphs) if self.device_config.on_gpu else None
                self._painters[size] = FramePainter(
                    renderer, self._batch(size), padded=padded, on_batch=self._on_batch, drawer=drawer
                )
            return self._painters[size]

    def _gpu_drawer(self, size: int, graphs: Sequence[int]) -> Drawer:
        volume = np.zeros((32, 16, size // 4, size // 4), np.float16)
        scene = self._scene(size, volume, np.zeros((15, 3), np.float32))
        prepare = partial(
            prepared_drawer,
            self._models.of_size(size).renderer,
            scene,
            self._batch(size),
            compiled=self._options.compiled and bool(graphs),
            sizes=graphs,
        )
        return DrawerInThread(self._drawing.run(prepare), self._drawing)

    def _batch(self, size: int) -> int:
        return self._options.batch_size or suggested_batch(self.device_config, size)
