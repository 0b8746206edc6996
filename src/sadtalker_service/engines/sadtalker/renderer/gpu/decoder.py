"""The SPADE decoder for a GPU. See `renderer.decoder` for the reductions that it shares with the CPU.

The block whose condition is enlarged four times is not split by phase here. That would save 22e9 of 70e9
multiply-adds, but takes 48 small convolutions of cut-out windows instead of three large ones. A bias before
an instance norm changes nothing, so it is left out.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.fusing import bias_of
from sadtalker_service.engines.sadtalker.networks.spade import SLOPE
from sadtalker_service.engines.sadtalker.networks.upsampled import EnlargedConv2d, QuarterConv2d
from sadtalker_service.engines.sadtalker.renderer.decoder import FastDecoder, MiddleBlock
from sadtalker_service.engines.sadtalker.renderer.gpu.rows import (
    conv2d,
    map_weight,
    padded_outputs,
    values,
)
from sadtalker_service.engines.sadtalker.renderer.gpu.steps import Moments, Steps

Measured = tuple[Tensor, Moments]
"""A map and its moments."""


class DecoderForGpu(nn.Module):
    """Computes the same as `FastDecoder`, from its parameters."""

    def __init__(self, decoder: FastDecoder, dtype: torch.dtype) -> None:
        super().__init__()
        self.fc = _Conv(decoder.fc, dtype)
        self.shared = _Conv(decoder.shared, dtype)
        self.middle = nn.ModuleList(_Middle(cast("MiddleBlock", block), dtype) for block in decoder.middle)
        self.up_0 = _Up(decoder.up_0, times=2, dtype=dtype)
        self.up_1 = _Up(decoder.up_1, times=4, dtype=dtype)
        self.image = map_weight(padded_outputs(decoder.conv_img.weight), dtype)
        self.image_bias = values(bias_of(decoder.conv_img))

    def forward(self, steps: Steps, condition: Tensor) -> Tensor:
        """(B, h, w, 256) -> (B, 4h, 4w, 8): colours before bias and sigmoid, in the first three channels."""
        measured = steps.added(self.fc(condition), self.fc.bias)
        shared = steps.split(self.shared(condition), self.shared.bias, 2 * len(self.middle))
        for number, block in enumerate(self.middle):
            measured = block(steps, measured, shared[2 * number], shared[2 * number + 1])
        measured = self.up_0(steps, measured, condition, None)
        x, _ = self.up_1(steps, measured, condition, SLOPE)
        return conv2d(x, self.image, 1)


class _Conv(nn.Module):
    """A convolution and the bias that the pass after it adds."""

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = map_weight(conv.weight, dtype)
        bias = conv.weight.new_zeros(len(conv.weight)) if conv.bias is None else conv.bias
        self.bias = values(bias)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, self.weight.shape[2] // 2)


class _Modulation(nn.Module):
    """A convolution that gives scale and shift."""

    def __init__(self, conv: nn.Conv2d | QuarterConv2d, dtype: torch.dtype) -> None:
        super().__init__()
        if isinstance(conv, QuarterConv2d):  # its first phase reads three cells of either axis: all the taps
            weight, bias = conv.kernels[0], conv.bias
        else:
            weight, bias = conv.weight, bias_of(conv)
        self.weight, self.bias = map_weight(weight, dtype), values(bias)

    def forward(self, shared: Tensor) -> Tensor:
        return conv2d(shared, self.weight, 1)


class _Middle(nn.Module):
    """(B, h, w, 512) in and out."""

    def __init__(self, block: MiddleBlock, dtype: torch.dtype) -> None:
        super().__init__()
        self.modulation_0 = _Modulation(block.modulation_0, dtype)
        self.modulation_1 = _Modulation(block.modulation_1, dtype)
        self.conv_0 = _Conv(block.conv_0, dtype)
        self.conv_1 = _Conv(block.conv_1, dtype)

    def forward(self, steps: Steps, measured: Measured, shared_0: Tensor, shared_1: Tensor) -> Measured:
        x, moments = measured
        scale, bias = self.modulation_0(shared_0), self.modulation_0.bias
        inner = self.conv_0(steps.modulated(x, moments, scale, bias, SLOPE))
        scale, bias = self.modulation_1(shared_1), self.modulation_1.bias
        inner = self.conv_1(steps.modulated(inner, steps.moments(inner), scale, bias, SLOPE))
        return steps.added(inner, self.conv_1.bias, x)


class _Up(nn.Module):
    """(B, h, w, C) -> (B, 2h, 2w, F): a block that doubles its input. `times` is the size of its result
    relative to the condition."""

    def __init__(self, block: nn.Module, *, times: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.times = times
        shared = cast("EnlargedConv2d", block.shared)
        self.shared, self.shared_bias = map_weight(_of_places(shared), dtype), values(shared.bias)
        self.modulation_0 = _Modulation(block.modulation_0, dtype)
        self.modulation_1 = _Modulation(block.modulation_1, dtype)
        self.modulation_s = _Modulation(block.modulation_s, dtype)
        self.conv_0 = _Conv(block.conv_0, dtype)
        self.conv_1 = _Conv(block.conv_1, dtype)
        self.conv_s = _Conv(block.conv_s, dtype)
        features = len(self.conv_s.weight)
        self.bias = values(self.conv_1.bias + self.modulation_s.bias[-features:])
        self.scale_bias = values(self.modulation_s.bias[:-features])

    def forward(self, steps: Steps, measured: Measured, condition: Tensor, slope: float | None) -> Measured:
        x, moments = measured
        spread = conv2d(condition, self.shared, 1)
        shared_0, shared_1, shared_s = steps.spread(spread, self.shared_bias, 3, self.times)
        scale, bias = self.modulation_0(shared_0), self.modulation_0.bias
        inner = self.conv_0(steps.modulated(x, moments, scale, bias, SLOPE, times=2))
        scale, bias = self.modulation_1(shared_1), self.modulation_1.bias
        inner = self.conv_1(steps.modulated(inner, steps.moments(inner), scale, bias, SLOPE))
        scale = self.modulation_s(shared_s)
        beside = self.conv_s(steps.scaled(x, moments, scale, self.scale_bias, times=2))
        return steps.joined(inner, self.bias, beside, scale, slope)


def _of_places(conv: EnlargedConv2d) -> Tensor:
    """(places² F, C, 2, 2): row, column, feature (`steps.places`), from the groups of `conv`.

    A place that reads a single cell reads the second of the two.
    """
    features = len(conv.bias)
    found: dict[tuple[int, int], Tensor] = {}
    for (rows, columns), kernel in zip(conv.groups, conv.kernels, strict=True):
        whole = kernel.new_zeros(*kernel.shape[:2], 2, 2)
        whole[:, :, 2 - kernel.shape[2] :, 2 - kernel.shape[3] :] = kernel
        numbers = [(row.number, column.number) for row in rows for column in columns]
        found.update(zip(numbers, whole.split(features), strict=True))
    return torch.cat([found[number] for number in sorted(found)])
