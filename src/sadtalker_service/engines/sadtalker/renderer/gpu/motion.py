"""Dense motion for a GPU: keypoints -> where every voxel comes from, and what is visible.

Three convolutions have another form here than in `networks.dense_motion`:

- The one that gives the shares of the slots has 16 outputs and 7 x 7 x 7 taps. Matrix units take outputs by
  64 or 128 and would be idle most of the time. So it is a 7 x 7 convolution of each plane with 7 x 16
  outputs, one for each tap in depth, and `Steps.deformation` sums the seven.
- The occlusion map has one output. So it is a product for each of its 49 taps, over the whole depth, and
  `Steps.visible` sums them.
- A convolution of a doubled volume is one of the small volume with four times the outputs
  (`steps.places`), where the inference form for a CPU has a transposed convolution.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.blocks import ConvNorm3d
from sadtalker_service.engines.sadtalker.networks.fusing import bias_of
from sadtalker_service.engines.sadtalker.networks.upsampled import DoubledConv3d
from sadtalker_service.engines.sadtalker.renderer.gpu.rows import (
    conv2d,
    conv3d,
    map_weight,
    padded_outputs,
    values,
    volume_weight,
)
from sadtalker_service.engines.sadtalker.renderer.gpu.steps import Sources, Steps
from sadtalker_service.engines.sadtalker.renderer.motion import FastMotion

_AROUND = (1, 1, 1)
_PLACES = ((3, 1), (2, 0))
"""Where the taps of a `DoubledConv3d` stand for each of two outputs, along one axis, in the order of the
cells that are read."""


class MotionForGpu(nn.Module):
    """Computes the same as `FastMotion`, from its parameters."""

    def __init__(self, motion: FastMotion, dtype: torch.dtype) -> None:
        super().__init__()
        down = [cast("ConvNorm3d", block).conv for block in motion.hourglass.encoder.down_blocks]
        up = [cast("DoubledConv3d", block) for block in motion.hourglass.decoder.up_blocks]
        last = motion.hourglass.decoder.conv
        self.down = nn.ParameterList(volume_weight(conv.weight, dtype) for conv in down)
        self.down_biases = nn.ParameterList(values(bias_of(conv)) for conv in down)
        self.up = nn.ParameterList(volume_weight(_of_places(block.weight), dtype) for block in up)
        self.up_biases = nn.ParameterList(values(cast("Tensor", block.bias)) for block in up)
        self.last, self.last_bias = volume_weight(last.weight, dtype), values(bias_of(last))
        self.mask, self.mask_bias = (
            map_weight(_of_planes(motion.mask.weight), dtype),
            values(bias_of(motion.mask)),
        )
        taps = motion.occlusion.taps.weight
        self.taps = volume_weight(_of_depths(taps, last.out_channels), dtype)
        self.taps_bias = values(motion.occlusion.bias)

    def features(self, steps: Steps, hints: Tensor) -> Tensor:
        """(B, D, h, w, 80) -> (B, D, h, w, 112): the hourglass."""
        levels = [hints]
        for weight, bias in zip(self.down, self.down_biases, strict=True):
            levels.append(steps.pooled(conv3d(levels[-1], weight, _AROUND), bias))
        x = levels[-1]
        for weight, bias, level in zip(self.up, self.up_biases, levels[-2::-1], strict=True):
            x = steps.doubled(conv3d(x, weight, _AROUND), bias, level)
        return steps.activated(conv3d(x, self.last, _AROUND), self.last_bias, 0.0)

    def forward(self, steps: Steps, sources: Sources, driving: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K, 3) keypoints of the frames -> (B, D, h, w, 3) source positions, (B, h, w) visible share."""
        driving = driving.contiguous()
        features = self.features(steps, steps.hints(sources, driving, self.mask))
        planes = conv2d(features.flatten(0, 1), self.mask, 3).unflatten(0, features.shape[:2])
        grid = steps.deformation(planes, self.mask_bias, sources, driving)
        return grid, steps.visible(conv3d(features, self.taps).squeeze(1), self.taps_bias)


def _of_places(weight: Tensor) -> Tensor:
    """(C, F, z, 4, 4) of a `DoubledConv3d` -> (4 F, C, z, 2, 2): row, column, feature."""
    kernel = weight.transpose(0, 1).flip(2)
    return torch.cat([kernel[..., rows, :][..., columns] for rows in _PLACES for columns in _PLACES])


def _of_planes(weight: Tensor) -> Tensor:
    """(S, C, z, y, x) -> (z S, C, y, x)."""
    return weight.permute(2, 0, 1, 3, 4).flatten(0, 1)


def _of_depths(weight: Tensor, channels: int) -> Tensor:
    """(taps, C D, 1, 1) -> (taps, rounded up, C, D, 1, 1)."""
    return padded_outputs(weight.view(len(weight), channels, -1, 1, 1))
