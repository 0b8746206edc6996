"""The face renderer: what depends on the source alone is computed once, frames in batches.

Frames of several sources may share a batch: a scene can hold one source for all frames or one per frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.dense_motion import sample
from sadtalker_service.engines.sadtalker.networks.generator import Generator
from sadtalker_service.engines.sadtalker.networks.inference import frozen, prepare
from sadtalker_service.engines.sadtalker.networks.keypoint_detector import KeypointDetector
from sadtalker_service.engines.sadtalker.rendering.decoder import FastDecoder
from sadtalker_service.engines.sadtalker.rendering.motion import FastMotion


@dataclass(frozen=True)
class EncodedSource:
    """What the networks see in N pictures; worth keeping with the avatar (4 MB in 16 bits, at 256)."""

    volume: Tensor
    """(N, 32, 16, H/4, W/4)"""
    canonical: Tensor
    """(N, 15, 3) keypoints in the canonical pose, float32."""


@dataclass(frozen=True)
class Scene:
    """Sources in their own pose, ready for frames: one for all frames of a batch, or one per frame."""

    volume: Tensor
    """(N, 32, 16, h, w) float32"""
    compressed: Tensor
    """(N, 4, 16, h, w) float32"""
    keypoints: Tensor
    """(N, 15, 3) float32"""

    def take(self, numbers: Tensor | Sequence[int]) -> Scene:
        """The scene with a source for each frame, by its number."""
        index = torch.as_tensor(numbers, device=self.volume.device)
        return Scene(self.volume[index], self.compressed[index], self.keypoints[index])


def joined(scenes: Sequence[Scene]) -> Scene:
    """One scene with the sources of several."""
    return Scene(
        torch.cat([scene.volume for scene in scenes]),
        torch.cat([scene.compressed for scene in scenes]),
        torch.cat([scene.keypoints for scene in scenes]),
    )


class FaceRenderer(nn.Module):
    """Takes over, and uses up, the parameters of a generator and a detector in the trained form.

    May be moved to a 16-bit type as a whole (`renderer.to(torch.float16)`): convolutions run in it, while
    keypoints, shares, the deformation and the warp stay in float32.
    """

    def __init__(self, generator: Generator, detector: KeypointDetector) -> None:
        super().__init__()
        self.detector = prepare(detector)
        self.motion = FastMotion(generator.dense_motion_network)
        self.decoder = FastDecoder(generator.decoder)
        del generator.dense_motion_network, generator.decoder
        self.generator = prepare(generator)
        frozen(self)

    def encode_source(self, pictures: Tensor) -> EncodedSource:
        """(N, 3, H, W) RGB, 0..1, H and W multiples of 128: once per avatar."""
        pictures = pictures.to(self._type)
        return EncodedSource(self.generator.features(pictures), self.detector(pictures))

    def scene(self, encoded: EncodedSource, keypoints: Tensor) -> Scene:
        """Once per clip. keypoints: (N, 15, 3) of the sources in their own pose."""
        return Scene(encoded.volume.float(), self.motion.compressed(encoded.volume), keypoints)

    def render(self, scene: Scene, driving: Tensor) -> Tensor:
        """(B, 15, 3) keypoints of the frames -> (B, 3, H, W) RGB, 0..1, float32."""
        motion = self.motion(scene.compressed, scene.keypoints, driving)
        volume = scene.volume.expand(len(driving), -1, -1, -1, -1)
        warped = sample(volume, motion.grid).flatten(1, 2).to(self._type)
        seen = self.generator.fourth(self.generator.third(warped)).mul_(motion.occlusion)
        return self.decoder(seen)

    @property
    def _type(self) -> torch.dtype:
        return self.generator.second.weight.dtype


def as_pixels(pictures: Tensor) -> Tensor:
    """(B, 3, H, W), 0..1 -> (B, H, W, 3) uint8, rounded to the nearest."""
    return (pictures * 255).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
