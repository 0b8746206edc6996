"""Draw batches on a GPU: graphs, sources in slots, and pixels that leave the device while it goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import structlog
import torch
from torch import Tensor

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.renderer.gpu.choosing import candidates, choose_steps
from sadtalker_service.engines.sadtalker.renderer.gpu.compiled import compiled_steps
from sadtalker_service.engines.sadtalker.renderer.gpu.form import FramesOnGpu
from sadtalker_service.engines.sadtalker.renderer.gpu.graphs import (
    Capture,
    CudaCapture,
    FrameGraphs,
    Limits,
    fitting,
)
from sadtalker_service.engines.sadtalker.renderer.gpu.plain import PlainSteps
from sadtalker_service.engines.sadtalker.renderer.gpu.slots import SourceSlots, empty_table
from sadtalker_service.engines.sadtalker.renderer.gpu.steps import Sources, Steps
from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer, Scene
from sadtalker_service.engines.sadtalker.runtime.drawing import Finish, Part

log = structlog.get_logger(__name__)

_CHOOSING_BATCH = 4
_CAPTURE_SECONDS = 20.0
_CAPTURE_SHARE = 0.4
"""Share of the free memory that graphs may take."""


@torch.inference_mode()
def prepared_drawer(
    renderer: FaceRenderer,
    scene: Scene,
    batch: int,
    *,
    compiled: bool = False,
    sizes: Sequence[int] = (),
    capture: Capture | None = None,
) -> GpuDrawer:
    """Choose the passes of a renderer in the form for a GPU, and capture its graphs for those of `sizes` that
    are at most `batch`. Takes seconds.

    Args:
        renderer: in the form for a GPU.
        scene: any source of the right size.
        batch: largest number of frames, and so of sources, in a batch.
        compiled: the passes may also be compiled by torch.
        sizes: batch sizes to capture.
        capture: how to record them; CUDA graphs, if it is not given.
    """
    frames = renderer.on_gpu
    if frames is None:
        raise ValueError("The renderer has not been given the form for a GPU.")
    device = scene.keypoints.device
    forms = candidates(device) | ({"compiled": compiled_steps} if compiled else {})
    driving = scene.keypoints.expand(min(batch, _CHOOSING_BATCH), -1, -1).contiguous()
    _choose(frames, scene.sources(len(driving)), driving, forms)
    table = empty_table(scene, batch)
    graphs = FrameGraphs(frames, table, capture or CudaCapture(device), _limits(device))
    graphs.capture([size for size in sizes if size <= batch])
    if graphs.failure:
        log.warning("graphs_incomplete", sizes=graphs.sizes, reason=graphs.failure)
    log.info("gpu_prepared", graphs=graphs.sizes)
    return GpuDrawer(graphs, SourceSlots(table))


def _choose(
    frames: FramesOnGpu, sources: Sources, driving: Tensor, forms: Mapping[str, Callable[[], Steps]]
) -> None:
    try:
        chosen = choose_steps(frames, sources, driving, forms)
    except torch.OutOfMemoryError:
        frames.steps = PlainSteps()
        log.warning("passes_not_compared", reason="not enough memory", consequence="the plain ones are used")
        return
    for name, reason in chosen.unusable.items():
        log.warning("passes_unusable", form=name, reason=reason)
    log.info("passes_chosen", form=chosen.name, seconds=chosen.seconds)


def _limits(device: torch.device) -> Limits:
    if device.type != "cuda":
        return Limits(_CAPTURE_SECONDS, sys.maxsize)
    free, _ = torch.cuda.mem_get_info(device)
    return Limits(_CAPTURE_SECONDS, int(_CAPTURE_SHARE * free))


class GpuDrawer:
    """Implements `drawing.Drawer` with graphs. Use it in one thread at a time."""

    overlaps = True

    def __init__(self, graphs: FrameGraphs, slots: SourceSlots) -> None:
        self._graphs = graphs
        self._slots = slots
        self._device = slots.table.keypoints.device
        self._on_gpu = self._device.type == "cuda"
        # beside the work for videos that are about to begin, which is on the default stream
        self._stream = torch.cuda.Stream(self._device) if self._on_gpu else None
        self._owners: tuple[tuple[int, ...], Tensor] | None = None

    def fit(self, wanted: int) -> int:
        """See `drawing.Drawer`."""
        return fitting(wanted, self._graphs.sizes)

    @torch.inference_mode()
    def begin(self, parts: Sequence[Part]) -> Finish:
        """See `drawing.Drawer`."""
        with self._beside():
            slots = self._slots.place([part.scene for part in parts])
            owners = tuple(slot for slot, part in zip(slots, parts, strict=True) for _ in part.driving)
            driving = torch.cat([part.driving for part in parts])
            return self._leaving(self._graphs.draw(driving, self._numbers(owners)))

    def _numbers(self, owners: tuple[int, ...]) -> Tensor:
        """(n,) int32 on the device, sent again only if they change."""
        if self._owners is None or self._owners[0] != owners:
            self._owners = owners, torch.tensor(owners, dtype=torch.int32).to(self._device)
        return self._owners[1]

    def _leaving(self, pixels: Tensor) -> Finish:
        """Send the pixels to the host. Page-locked memory lets the device go on meanwhile; torch keeps it for
        the next batch once nobody reads these frames any more."""
        if not self._on_gpu:
            pictures: Uint8Image = pixels.clone().numpy()
            return lambda: pictures
        host = torch.empty(pixels.shape, dtype=pixels.dtype, pin_memory=True)
        host.copy_(pixels, non_blocking=True)
        sent = torch.cuda.Event()
        sent.record()

        def finish() -> Uint8Image:
            sent.synchronize()
            arrived: Uint8Image = host.numpy()
            return arrived

        return finish

    def _beside(self) -> AbstractContextManager[object]:
        if self._stream is None:
            return nullcontext()
        self._stream.wait_stream(torch.cuda.default_stream(self._device))
        return torch.cuda.stream(self._stream)
