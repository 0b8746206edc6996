"""Measure frames per second and the time of each stage of a frame."""

from __future__ import annotations

from itertools import pairwise
from statistics import median

import torch
from torch import Tensor

from sadtalker_service.bench.sadtalker.report import Case, Rendered
from sadtalker_service.bench.sadtalker.subjects import inputs, product, square_matrix
from sadtalker_service.bench.sadtalker.timing import Clock, Run
from sadtalker_service.engines.sadtalker.networks.generator import Generator
from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer, Scene, as_pixels, joined

ORIGINAL_BATCH = 2
"""Default number of frames per batch in the original."""


class Frames:
    """Draws frames with one form of the networks, and with the trained form for comparison."""

    def __init__(self, device: torch.device, renderer: FaceRenderer, original: Generator) -> None:
        self.device = device
        self.renderer = renderer
        self._original = original

    def measure(self, case: Case, work: float, *, repeats: int, beside_original: bool) -> Rendered:
        """Measure one case, whose frames take `work` 1e9 multiply-adds each. Raises
        `torch.OutOfMemoryError`."""
        clock = Clock(self.device, repeats)
        scene, driving = self._scene(case.size, case.batch)
        first = clock.times(lambda: self.pixels(scene, driving)).wall
        largest, mean = self._errors(case.size, scene, driving)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        stages = self._stages(scene, driving, clock, repeats)
        memory = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else 0
        matrix = square_matrix(self.device, case.precision)
        runs: dict[str, Run] = {
            "ours": lambda: self.pixels(scene, driving),
            "product": lambda: product(matrix),
        }
        if case.batch > 1:
            runs["shared"] = lambda: self.pixels(_scene_of_videos(scene, case.batch), driving)
        if beside_original:
            runs["original"] = lambda: self._with_default_precision(case.size)
        times = clock.medians(runs)
        per_frame, original = times["ours"].wall / case.batch, times.get("original")
        shared = times.get("shared")
        return Rendered(
            case=case,
            frames_per_second=1 / per_frame,
            milliseconds=1000 * per_frame,
            shared=1000 * shared.wall / case.batch if shared else None,
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

    def pixels(self, scene: Scene, driving: Tensor) -> Tensor:
        """uint8 (B, S, S, 3) in host memory."""
        return as_pixels(self.renderer.render(scene, driving)).cpu()

    def _scene(self, size: int, frames: int) -> tuple[Scene, Tensor]:
        pictures, source, driving = inputs(self.device, size, frames)
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
        times = [clock.now().wall]
        motion = self.renderer.motion(scene.compressed, scene.keypoints, driving)
        times.append(clock.now().wall)
        warped = self.renderer.warped(scene, motion)
        times.append(clock.now().wall)
        pictures = self.renderer.decoder(warped)
        times.append(clock.now().wall)
        as_pixels(pictures).cpu()
        times.append(clock.now().wall)
        names = ("motion", "warp", "decoder", "bytes")
        return {name: after - before for name, (before, after) in zip(names, pairwise(times), strict=True)}


def _scene_of_videos(scene: Scene, videos: int) -> Scene:
    """A scene for a batch with one frame from each of `videos` videos."""
    return joined([scene] * videos).take(range(videos))
