"""Draw batches on a GPU: graphs, sources in slots, and pixels that leave the device while it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import structlog
import torch
from torch import Tensor

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.renderer.gpu.choosing import candidates, choose_steps
from sadtalker_service.engines.sadtalker.renderer.gpu.compiled import compiled_steps
from sadtalker_service.engines.sadtalker.renderer.gpu.graphs import (
    CudaCapture,
    FrameGraphs,
    Limits,
    fitting,
)
from sadtalker_service.engines.sadtalker.renderer.gpu.steps import Sources
from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer, Scene
from sadtalker_service.engines.sadtalker.runtime.drawing import Finish, Part

log = structlog.get_logger(__name__)

_CAPTURE_SECONDS = 20.0
_CAPTURE_SHARE = 0.4
"""Share of the free memory that graphs may take."""


def prepared_drawer(
    renderer: FaceRenderer, scene: Scene, batch: int, *, compiled: bool, sizes: Sequence[int]
) -> GpuDrawer:
    """Choose the passes of a renderer in the form for a GPU, and capture its graphs for those of `sizes` that
    are at most `batch`. `compiled`: the passes may also be compiled by torch. Takes seconds."""
    frames = renderer.on_gpu
    if frames is None:
        raise ValueError("The renderer has not been given the form for a GPU.")
    device = scene.keypoints.device
    forms = candidates(device) | ({"compiled": compiled_steps} if compiled else {})
    driving = scene.keypoints.expand(min(batch, 4), -1, -1).contiguous()
    chosen = choose_steps(frames, scene.sources(len(driving)), driving, forms)
    for name, reason in chosen.unusable.items():
        log.warning("passes_unusable", form=name, reason=reason)
    table = empty_table(scene, batch)
    free, _ = torch.cuda.mem_get_info(device)
    limits = Limits(_CAPTURE_SECONDS, int(_CAPTURE_SHARE * free))
    graphs = FrameGraphs(frames, table, CudaCapture(device), limits)
    graphs.capture([size for size in sizes if size <= batch])
    if graphs.failure:
        log.warning("graphs_incomplete", sizes=graphs.sizes, reason=graphs.failure)
    log.info("gpu_prepared", passes=chosen.name, seconds=chosen.seconds, graphs=graphs.sizes)
    return GpuDrawer(graphs, SourceSlots(table))


def empty_table(scene: Scene, slots: int) -> Sources:
    """Slots for sources like that of `scene`, all zero."""
    like = scene.sources(1)
    volume, compressed, keypoints = (
        array.new_zeros(slots, *array.shape[1:]) for array in (like.volume, like.compressed, like.keypoints)
    )
    return Sources(volume, compressed, keypoints, like.owners)


class SourceSlots:
    """Puts sources into the slots of a table. The one that was not used for the longest time makes room."""

    def __init__(self, table: Sources) -> None:
        self.table = table
        self._used: dict[int, Scene] = {}
        """Slot -> scene, the one used last at the end."""

    def place(self, scenes: Sequence[Scene]) -> list[int]:
        """The slot of each scene. Raises `ValueError` if there are more scenes than slots."""
        known = {id(scene): slot for slot, scene in self._used.items()}
        slots = len(self.table.keypoints)
        missing = {id(scene): scene for scene in scenes if id(scene) not in known}
        busy = {known[id(scene)] for scene in scenes if id(scene) in known}
        if len(busy) + len(missing) > slots:
            raise ValueError(f"A batch has {len(busy) + len(missing)} sources for {slots} slots.")
        free = [slot for slot in range(slots) if slot not in self._used]
        free += [slot for slot in self._used if slot not in busy]
        for (key, scene), slot in zip(missing.items(), free, strict=False):
            self._write(slot, scene)
            known[key] = slot
            self._used[slot] = scene
        found = [known[id(scene)] for scene in scenes]
        for slot in found:  # used last
            self._used[slot] = self._used.pop(slot)
        return found

    def _write(self, slot: int, scene: Scene) -> None:
        source = scene.sources(1)
        self.table.volume[slot].copy_(source.volume[0])
        self.table.compressed[slot].copy_(source.compressed[0])
        self.table.keypoints[slot].copy_(source.keypoints[0])


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
