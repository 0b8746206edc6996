"""Measure frames per second and the time of each stage of a frame."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from statistics import median
from typing import cast

import torch
from torch import Tensor

from sadtalker_service.bench.sadtalker.report import Case, Rendered
from sadtalker_service.bench.sadtalker.subjects import inputs, product, square_matrix
from sadtalker_service.bench.sadtalker.timing import Clock, Run
from sadtalker_service.engines.sadtalker.networks.generator import Generator
from sadtalker_service.engines.sadtalker.renderer.gpu.graphs import CudaCapture, FrameGraphs, Limits
from sadtalker_service.engines.sadtalker.renderer.gpu.slots import SourceSlots, empty_table
from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer, Scene, joined

ORIGINAL_BATCH = 2
"""Default number of frames per batch in the original."""
_CAPTURE_SECONDS = 30.0
_ANY_MEMORY = 10**15


class Frames:
    """Draws frames with one form of the networks, and with the trained form for comparison."""

    def __init__(self, device: torch.device, renderer: FaceRenderer, original: Generator) -> None:
        self.device = device
        self.renderer = renderer
        self._original = original
        self._on_gpu = device.type == "cuda"
        self._captured: tuple[tuple[int, torch.dtype, int], FrameGraphs] | None = None

    def measure(self, case: Case, work: float, *, repeats: int, beside_original: bool) -> Rendered:
        """Measure one case, whose frames take `work` 1e9 multiply-adds each. Raises
        `torch.OutOfMemoryError`."""
        clock = Clock(self.device, repeats)
        scene, driving = self._scene(case.size, case.batch)
        first = clock.times(lambda: self.pixels(scene, driving)).wall
        largest, mean = self._errors(case.size, scene, driving)
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        stages = self._stages(scene, driving, clock, repeats)
        runs = self._runs(scene, driving)
        matrix = square_matrix(self.device, case.precision)
        runs["product"] = lambda: product(matrix)
        if beside_original:
            runs["original"] = lambda: self._with_default_precision(case.size)
        times = clock.medians(runs)
        memory = torch.cuda.max_memory_allocated(self.device) if self._on_gpu else 0
        milliseconds = {name: 1000 * found.wall / case.batch for name, found in times.items()}
        per_frame, original = times["ours"].wall / case.batch, times.get("original")
        return Rendered(
            case=case,
            frames_per_second=1 / per_frame,
            milliseconds=1000 * per_frame,
            shared=milliseconds.get("shared"),
            direct=milliseconds.get("direct"),
            graph_error=self._graph_error(scene, driving),
            passes=self.passes,
            stages={name: 1000 * value / case.batch for name, value in stages.items()},
            first=first,
            cpu=1000 * times["ours"].cpu / case.batch,
            original=ORIGINAL_BATCH / original.wall if original else None,
            original_cpu=1000 * original.cpu / ORIGINAL_BATCH if original else None,
            product=len(matrix) ** 3 / times["product"].wall / 1e12,
            share=work * 1e9 / per_frame * times["product"].wall / len(matrix) ** 3,
            largest_error=largest,
            mean_error=mean,
            memory=memory / 1e9,
        )

    @property
    def passes(self) -> str:
        """See `Rendered.passes`."""
        frames = self.renderer.on_gpu
        if frames is None:
            return "tiles" if self.renderer.on_tiles else "maps"
        return type(frames.steps).__name__.removesuffix("Steps").lower()

    def pixels(self, scene: Scene, driving: Tensor) -> Tensor:
        """uint8 (B, S, S, 3) in host memory."""
        return self.renderer.pixels(scene, driving).cpu()

    def drawing(self, scene: Scene, batch: int) -> Callable[[Tensor], Tensor]:
        """Draws batches of this size of one video, as the service does: with a graph, if there can be one.
        (batch, 15, 3) -> uint8 (batch, S, S, 3) in host memory."""
        graphs = self._graph(scene, batch)
        if graphs is None:
            return lambda driving: self.pixels(scene, driving)
        slots, owners = SourceSlots(graphs.table), torch.zeros(batch, dtype=torch.int32, device=self.device)
        slots.place([scene])
        return lambda driving: graphs.draw(driving, owners).cpu()

    def _graph(self, scene: Scene, batch: int) -> FrameGraphs | None:
        """A graph of this batch size, with as many slots. None on a CPU, or if capturing fails. The last one
        is kept."""
        frames = self.renderer.on_gpu
        if frames is None or not self._on_gpu:
            return None
        key = (scene.volume.shape[3], scene.volume.dtype, batch)
        if self._captured is None or self._captured[0] != key:
            self._captured = None
            graphs = FrameGraphs(
                frames,
                empty_table(scene, batch),
                CudaCapture(self.device),
                Limits(_CAPTURE_SECONDS, _ANY_MEMORY),
            )
            graphs.capture([batch])
            self._captured = key, graphs
        graphs = self._captured[1]
        return graphs if graphs.sizes else None

    def _graph_error(self, scene: Scene, driving: Tensor) -> int | None:
        if self._graph(scene, len(driving)) is None:
            return None
        found = self.drawing(scene, len(driving))(driving).short()
        return int((found - self.pixels(scene, driving).short()).abs().max().item())

    def _runs(self, scene: Scene, driving: Tensor) -> dict[str, Run]:
        """The ways to draw this batch: as the service does, for several videos, and without a graph."""
        batch = len(driving)
        graphs = self._graph(scene, batch)
        if graphs is None:
            runs: dict[str, Run] = {"ours": lambda: self.pixels(scene, driving)}
            if batch > 1:
                runs["shared"] = lambda: self.pixels(_scene_of_videos(scene, batch), driving)
            return runs
        each = torch.arange(batch, dtype=torch.int32, device=self.device)
        runs = {
            "ours": partial(self.drawing(scene, batch), driving),
            "direct": lambda: self.pixels(scene, driving),
        }
        if batch > 1:
            runs["shared"] = lambda: graphs.draw(driving, each).cpu()
        return runs

    def _scene(self, size: int, batch: int) -> tuple[Scene, Tensor]:
        pictures, source, driving = inputs(self.device, size, batch)
        return self.renderer.scene(self.renderer.encode_source(pictures).volume, source), driving

    def _with_default_precision(self, size: int) -> Tensor:
        """The original's frames, with torch's default precision."""
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
            return self._originals(size, ORIGINAL_BATCH).cpu()

    def _originals(self, size: int, frames: int) -> Tensor:
        """(frames, 3, size, size) drawn like the original, with the source encoded for every frame."""
        pictures, source, driving = inputs(self.device, size, frames)
        return self._original(pictures.expand(frames, -1, -1, -1), source.expand(frames, -1, -1), driving)

    def _errors(self, size: int, scene: Scene, driving: Tensor) -> tuple[float, float]:
        """Largest and mean difference of the first frame from the trained form in float32."""
        wanted = self._originals(size, 1)
        off = (self.renderer.render(scene, driving)[:1] - wanted).abs()
        return off.max().item(), off.mean().item()

    def _stages(self, scene: Scene, driving: Tensor, clock: Clock, repeats: int) -> dict[str, float]:
        self._staged(scene, driving, clock)
        found = [self._staged(scene, driving, clock) for _ in range(repeats)]
        return {name: median(seconds[name] for seconds in found) for name in found[0]}

    def _staged(self, scene: Scene, driving: Tensor, clock: Clock) -> dict[str, float]:
        """Stage -> seconds of one batch, with a synchronisation after each stage."""
        times, names = [clock.now().wall], []
        for name, result in self.renderer.stages(scene, driving):
            if name == "bytes":
                cast("Tensor", result).cpu()
            names.append(name)
            times.append(clock.now().wall)
        return {name: after - before for name, (before, after) in zip(names, pairwise(times), strict=True)}


def _scene_of_videos(scene: Scene, videos: int) -> Scene:
    """A scene for a batch with one frame from each of `videos` videos."""
    return joined([scene] * videos).take(range(videos))
