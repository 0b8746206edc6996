"""The face renderer: computes everything that depends only on the source once, and frames in batches.

Frames of several sources may share a batch. A scene holds one source for all frames, or one per frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.dense_motion import Deformation, sample
from sadtalker_service.engines.sadtalker.networks.fusing import frozen, prepare
from sadtalker_service.engines.sadtalker.networks.generator import Generator
from sadtalker_service.engines.sadtalker.networks.keypoint_detector import KeypointDetector
from sadtalker_service.engines.sadtalker.renderer.decoder import FastDecoder
from sadtalker_service.engines.sadtalker.renderer.gpu.compiled import compiled_steps
from sadtalker_service.engines.sadtalker.renderer.gpu.form import FramesOnGpu
from sadtalker_service.engines.sadtalker.renderer.gpu.steps import Sources
from sadtalker_service.engines.sadtalker.renderer.motion import FastMotion
from sadtalker_service.engines.sadtalker.renderer.winograd import use_tiles


@dataclass(frozen=True)
class EncodedSource:
    """Features of N source images. Worth keeping with the avatar (4 MB in 16 bits at 256)."""

    volume: Tensor
    """(N, 32, 16, H/4, W/4)"""
    canonical: Tensor
    """(N, 15, 3) keypoints in the canonical pose, float32."""


@dataclass(frozen=True)
class Scene:
    """Sources in their own pose, ready for frames: one for all frames of a batch, or one per frame."""

    volume: Tensor
    """(N, 32, 16, h, w) float32, for a GPU also float16"""
    compressed: Tensor
    """(N, 4, 16, h, w) float32"""
    keypoints: Tensor
    """(N, 15, 3) float32"""

    def take(self, numbers: Tensor | Sequence[int]) -> Scene:
        """The scene with one source per frame, selected by number."""
        index = torch.as_tensor(numbers, device=self.volume.device)
        return Scene(self.volume[index], self.compressed[index], self.keypoints[index])

    def sources(self, frames: int) -> Sources:
        """The sources in the layout for a GPU, for a batch of `frames`. Copies only what has another
        layout."""
        owners = torch.arange(frames, dtype=torch.int32, device=self.volume.device)
        if len(self.keypoints) == 1:
            owners.zero_()
        return Sources(_rows(self.volume), _rows(self.compressed), self.keypoints.contiguous(), owners)


def _rows(volume: Tensor) -> Tensor:
    return volume.permute(0, 2, 3, 4, 1).contiguous()


def joined(scenes: Sequence[Scene]) -> Scene:
    """One scene with the sources of several scenes."""
    return Scene(
        torch.cat([scene.volume for scene in scenes]),
        torch.cat([scene.compressed for scene in scenes]),
        torch.cat([scene.keypoints for scene in scenes]),
    )


class FaceRenderer(nn.Module):
    """Takes over, and uses up, the parameters of a generator and a detector in the trained form."""

    def __init__(self, generator: Generator, detector: KeypointDetector) -> None:
        super().__init__()
        self.on_tiles = False
        """Whether convolutions run on tiles (`renderer.winograd`)."""
        self.on_gpu: FramesOnGpu | None = None
        """The form for a GPU, if frames run in it."""
        self.detector = prepare(detector)
        self.motion = FastMotion(generator.dense_motion_network)
        self.decoder = FastDecoder(generator.decoder)
        del generator.dense_motion_network, generator.decoder
        self.generator = prepare(generator)
        frozen(self)

    def run_frames_in(self, dtype: torch.dtype, *, channels_last: bool = False) -> Self:
        """Set the dtype of the convolutions that run for every frame. With `channels_last` they get the form
        for a GPU (`renderer.gpu`), once and for all.

        Keypoints, shares, the deformation and the warp stay in float32. So does everything that is computed
        once.
        """
        motion, trunk = self.motion, self.generator
        if channels_last:
            self.on_gpu = FramesOnGpu(motion, trunk, self.decoder, dtype)
            del trunk.third, trunk.fourth, motion.hourglass, motion.mask, motion.occlusion, self.decoder
            return self
        every_frame: tuple[nn.Module, ...] = (
            *(motion.hourglass, motion.mask, motion.occlusion),
            *(trunk.third, trunk.fourth, self.decoder),
        )
        for part in every_frame:
            part.to(dtype)
        return self

    def run_frames_on_tiles(self) -> Self:
        """For float32 on a CPU: the same images within rounding, with half of the multiply-adds."""
        for part in (self.generator.third, self.decoder):
            use_tiles(part)
        self.on_tiles = True
        return self

    def compile_frames(self) -> None:
        """Have torch compile what runs for every frame, when the next frame is drawn: for a GPU all that lies
        between convolutions, otherwise the networks. Convolutions on tiles are left as they are, because the
        compiler does not support them."""
        if self.on_gpu is not None:
            self.on_gpu.steps = compiled_steps()
            return
        self.motion.hourglass.compile()
        if not self.on_tiles:
            self.decoder.compile()

    def encode_source(self, pictures: Tensor) -> EncodedSource:
        """(N, 3, H, W) RGB, 0..1, H and W multiples of 128: once per avatar."""
        return EncodedSource(self.generator.features(pictures), self.detector(pictures))

    def scene(self, volume: Tensor, keypoints: Tensor) -> Scene:
        """Once per video. volume: of an `EncodedSource`, also in 16 bits. keypoints: (N, 15, 3) of the
        sources in their own pose."""
        compressed = self.motion.compressed(volume.float())
        if self.on_gpu is None:
            return Scene(volume.float(), compressed, keypoints)
        last = torch.channels_last_3d
        return Scene(
            volume.contiguous(memory_format=last), compressed.contiguous(memory_format=last), keypoints
        )

    def render(self, scene: Scene, driving: Tensor) -> Tensor:
        """(B, 15, 3) keypoints of the frames -> (B, 3, H, W) RGB, 0..1, float32."""
        if self.on_gpu is not None:
            return self.on_gpu.pictures(scene.sources(len(driving)), driving)
        return self.decoder(self.warped(scene, self.motion(scene.compressed, scene.keypoints, driving)))

    def pixels(self, scene: Scene, driving: Tensor) -> Tensor:
        """(B, 15, 3) keypoints of the frames -> (B, H, W, 3) RGB, uint8."""
        if self.on_gpu is not None:
            return self.on_gpu.pixels(scene.sources(len(driving)), driving)
        return as_pixels(self.render(scene, driving))

    def stages(self, scene: Scene, driving: Tensor) -> Iterator[tuple[str, object]]:
        """`pixels` step by step: the name and the result of each stage, `motion`, `warp`, `decoder` and
        `bytes`."""
        if self.on_gpu is not None:
            yield from self.on_gpu.stages(scene.sources(len(driving)), driving)
            return
        motion = self.motion(scene.compressed, scene.keypoints, driving)
        yield "motion", motion
        warped = self.warped(scene, motion)
        yield "warp", warped
        pictures = self.decoder(warped)
        yield "decoder", pictures
        yield "bytes", as_pixels(pictures)

    def warped(self, scene: Scene, motion: Deformation) -> Tensor:
        """The decoder's input, (B, 256, h, w): the moved source, masked by its visibility."""
        volume = scene.volume.expand(len(motion.grid), -1, -1, -1, -1)
        moved = sample(volume, motion.grid).flatten(1, 2).to(self.generator.fourth.weight.dtype)
        return self.generator.fourth(self.generator.third(moved)).mul_(motion.occlusion)


def as_pixels(pictures: Tensor) -> Tensor:
    """(B, 3, H, W), 0..1 -> (B, H, W, 3) uint8, rounded to the nearest."""
    return (pictures * 255).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
