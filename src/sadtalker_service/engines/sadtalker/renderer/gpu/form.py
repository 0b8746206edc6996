"""The renderer's frames on a GPU, from sources and keypoints to pixels."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.dense_motion import DEPTH
from sadtalker_service.engines.sadtalker.networks.fusing import bias_of, frozen
from sadtalker_service.engines.sadtalker.networks.generator import Generator
from sadtalker_service.engines.sadtalker.renderer.decoder import FastDecoder
from sadtalker_service.engines.sadtalker.renderer.gpu.decoder import DecoderForGpu
from sadtalker_service.engines.sadtalker.renderer.gpu.motion import MotionForGpu
from sadtalker_service.engines.sadtalker.renderer.gpu.plain import PlainSteps
from sadtalker_service.engines.sadtalker.renderer.gpu.rows import conv2d, map_weight, values
from sadtalker_service.engines.sadtalker.renderer.gpu.steps import Sources, Steps
from sadtalker_service.engines.sadtalker.renderer.motion import FastMotion


class FramesOnGpu(nn.Module):
    """Everything that runs for every frame. Shares no parameters with the forms that it is made of."""

    def __init__(
        self, motion: FastMotion, trunk: Generator, decoder: FastDecoder, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.steps: Steps = PlainSteps()
        """How the passes between the convolutions run. May be replaced at any time between two frames."""
        self.motion = MotionForGpu(motion, dtype)
        third, fourth = trunk.third.conv, trunk.fourth
        self.third = map_weight(_of_rows(third.weight), dtype)
        self.third_bias, self.third_slope = values(bias_of(third)), trunk.third.slope
        self.fourth, self.fourth_bias = map_weight(fourth.weight, dtype), values(bias_of(fourth))
        self.decoder = DecoderForGpu(decoder, dtype)
        frozen(self)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the convolutions."""
        return self.third.dtype

    def warped(self, sources: Sources, grid: Tensor, share: Tensor) -> Tensor:
        """(B, D, h, w, 3) positions, (B, h, w) visible share -> (B, h, w, 256), the decoder's input."""
        steps = self.steps
        moved = conv2d(steps.warped(sources, grid, self.third), self.third, 1)
        moved = steps.activated(moved, self.third_bias, self.third_slope)
        return steps.masked(conv2d(moved, self.fourth), self.fourth_bias, share)

    def raw(self, sources: Sources, driving: Tensor) -> Tensor:
        """(B, K, 3) keypoints of the frames -> (B, S, S, 8), see `DecoderForGpu`."""
        return self.decoder(self.steps, self.warped(sources, *self.motion(self.steps, sources, driving)))

    def stages(self, sources: Sources, driving: Tensor) -> Iterator[tuple[str, object]]:
        """`pixels` step by step: the name and the result of each stage."""
        grid, share = self.motion(self.steps, sources, driving)
        yield "motion", grid
        warped = self.warped(sources, grid, share)
        yield "warp", warped
        raw = self.decoder(self.steps, warped)
        yield "decoder", raw
        yield "bytes", self.steps.pixels(raw, self.decoder.image_bias)

    def pictures(self, sources: Sources, driving: Tensor) -> Tensor:
        """(B, 3, S, S) RGB, 0..1, float32."""
        return self.steps.colours(self.raw(sources, driving), self.decoder.image_bias)

    def pixels(self, sources: Sources, driving: Tensor) -> Tensor:
        """(B, S, S, 3) RGB, uint8."""
        return self.steps.pixels(self.raw(sources, driving), self.decoder.image_bias)


def _of_rows(weight: Tensor) -> Tensor:
    """Order the inputs as `Steps.warped` gives them: depth before channel."""
    return weight.unflatten(1, (-1, DEPTH)).transpose(1, 2).flatten(1, 2)
