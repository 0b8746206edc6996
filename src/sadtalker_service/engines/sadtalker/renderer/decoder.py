"""The inference form of the SPADE decoder.

- One convolution gives the scale and the shift of a norm. The convolutions before them, which all read the
  condition, are one convolution for all blocks of a size.
- Where the condition is enlarged, these convolutions are split by phase (`networks.upsampled`).
- Nothing lies between the norm and the 1x1 convolution of a learned shortcut, so the convolution of the shift
  is merged with it. With W the 1x1 convolution: W (x (1 + g) + B s) = W (x (1 + g)) + (W B) s.
- The norm of an enlarged map is the enlarged norm of the map.

B frames. h and w are the size of the condition.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.fusing import bias_of, convolution
from sadtalker_service.engines.sadtalker.networks.spade import (
    SHARED,
    SLOPE,
    SpadeBlock,
    SpadeDecoder,
    SpadeNorm,
    SpectralConv2d,
)
from sadtalker_service.engines.sadtalker.networks.upsampled import EnlargedConv2d, QuarterConv2d, blank

_EPSILON = 1e-5


class FastDecoder(nn.Module):
    """Computes the same as `SpadeDecoder`. Takes over its parameters."""

    def __init__(self, trained: SpadeDecoder) -> None:
        super().__init__()
        blocks = trained.middle()
        self.fc = trained.fc
        self.shared = convolution(
            *_shared([norm for block in blocks for norm in (block.norm_0, block.norm_1)]), padding=1
        )
        self.middle = nn.ModuleList(MiddleBlock(block) for block in blocks)
        self.up_0 = _DoubledBlock(trained.up_0)
        self.up_1 = _QuarterBlock(trained.up_1)
        self.conv_img = trained.conv_img

    def forward(self, condition: Tensor) -> Tensor:
        """(B, 256, h, w) -> (B, 3, 4h, 4w) RGB, 0..1, float32."""
        x = self.fc(condition)
        shared = F.relu_(self.shared(condition)).split(SHARED, 1)
        for number, block in enumerate(self.middle):
            x = block(x, shared[2 * number], shared[2 * number + 1])
        x = self.up_1(self.up_0(x, condition), condition)
        return torch.sigmoid(self.conv_img(F.leaky_relu_(x, SLOPE)).float())


class MiddleBlock(nn.Module):
    """(B, 512, h, w) in and out."""

    def __init__(self, block: SpadeBlock) -> None:
        super().__init__()
        self.modulation_0 = convolution(*_modulation(block.norm_0), padding=1)
        self.modulation_1 = convolution(*_modulation(block.norm_1), padding=1)
        self.conv_0 = _baked(block.conv_0)
        self.conv_1 = _baked(block.conv_1)

    def forward(self, x: Tensor, shared_0: Tensor, shared_1: Tensor) -> Tensor:
        inner = self.conv_0(_modulated(_normalised(x), self.modulation_0(shared_0)))
        return self.conv_1(_modulated(_normalised(inner), self.modulation_1(shared_1))).add_(x)


class _DoubledBlock(nn.Module):
    """(B, 512, h, w) -> (B, 256, 2h, 2w): the block whose input is the doubled map."""

    def __init__(self, block: SpadeBlock) -> None:
        super().__init__()
        self.shared = EnlargedConv2d(*_shared([block.norm_0, block.norm_1, block.norm_s]), times=2)
        self.modulation_0 = convolution(*_modulation(block.norm_0), padding=1)
        self.modulation_1 = convolution(*_modulation(block.norm_1), padding=1)
        self.modulation_s = convolution(*_shortcut_modulation(block), padding=1)
        self.conv_0 = _baked(block.conv_0)
        self.conv_1 = _baked(block.conv_1)
        self.conv_s = _baked(block.conv_s)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shared_0, shared_1, shared_s = self.shared(condition).split(SHARED, 1)
        x = F.interpolate(_normalised(x), scale_factor=2)
        scale, shortcut = self.modulation_s(shared_s).split((x.shape[1], self.conv_s.out_channels), 1)
        inner = self.conv_0(_modulated(x, self.modulation_0(shared_0)))
        inner = self.conv_1(_modulated(_normalised(inner), self.modulation_1(shared_1)))
        return inner.add_(self.conv_s(x * scale)).add_(shortcut)


class _QuarterBlock(nn.Module):
    """(B, 256, 2h, 2w) -> (B, 64, 4h, 4w): the block whose condition is enlarged four times.

    Computed phase by phase: `[:, :, row::4, column::4]` is a map of the condition's size.
    """

    def __init__(self, block: SpadeBlock) -> None:
        super().__init__()
        self.shared = EnlargedConv2d(*_shared([block.norm_0, block.norm_1, block.norm_s]), times=4, border=1)
        self.modulation_0 = QuarterConv2d(*_modulation(block.norm_0))
        self.modulation_1 = QuarterConv2d(*_modulation(block.norm_1))
        self.modulation_s = QuarterConv2d(*_shortcut_modulation(block))
        self.conv_0 = _baked(block.conv_0)
        self.conv_1 = _baked(block.conv_1)
        self.conv_s = _baked(block.conv_s)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shared_0, shared_1, shared_s = self.shared(condition).split(SHARED, 1)
        batch, channels, height, width = x.shape
        features = self.conv_s.out_channels
        x = _normalised(x)
        wide = blank(x, (batch, channels, 2 * height, 2 * width))
        for row, column, modulation in self.modulation_0(shared_0):
            cells = x[:, :, row // 2 :: 2, column // 2 :: 2]
            wide[:, :, row::4, column::4] = _modulated(cells, modulation)
        inner = _normalised(self.conv_0(wide))
        for row, column, modulation in self.modulation_1(shared_1):
            cells = inner[:, :, row::4, column::4]
            cells.copy_(_modulated(cells, modulation))
        result = self.conv_1(inner)
        for row, column, modulation in self.modulation_s(shared_s):
            cells = x[:, :, row // 2 :: 2, column // 2 :: 2]
            scale, shift = modulation.split((channels, features), 1)
            result[:, :, row::4, column::4] += self.conv_s(cells * scale).add_(shift)
        return result


def _normalised(x: Tensor) -> Tensor:
    """Instance norm, with statistics in float32."""
    if x.is_contiguous():
        return F.instance_norm(x, eps=_EPSILON)
    variance, mean = torch.var_mean(x.float(), (2, 3), correction=0, keepdim=True)
    return ((x - mean) * torch.rsqrt(variance + _EPSILON)).to(x.dtype)


def _modulated(x: Tensor, modulation: Tensor) -> Tensor:
    """Leaky ReLU of x scale + shift. `modulation` holds the scale, then the shift."""
    scale, shift = modulation.chunk(2, 1)
    return F.leaky_relu_(torch.addcmul(shift, x, scale), SLOPE)


def _shared(norms: list[SpadeNorm]) -> tuple[Tensor, Tensor]:
    """Weight and bias of the first convolutions of several norms."""
    convs = [cast("nn.Conv2d", norm.mlp_shared[0]) for norm in norms]
    return torch.cat([conv.weight for conv in convs]), torch.cat([bias_of(conv) for conv in convs])


def _modulation(norm: SpadeNorm) -> tuple[Tensor, Tensor]:
    """Weight and bias that give the scale (with one added) and the shift."""
    gamma, beta = norm.mlp_gamma, norm.mlp_beta
    return torch.cat([gamma.weight, beta.weight]), torch.cat([bias_of(gamma) + 1, bias_of(beta)])


def _shortcut_modulation(block: SpadeBlock) -> tuple[Tensor, Tensor]:
    """Weight and bias that give the scale (with one added) and the shift after the shortcut."""
    gamma, beta = block.norm_s.mlp_gamma, block.norm_s.mlp_beta
    mix = block.conv_s.weight().double().flatten(1)
    weight = torch.einsum("oc,ciyx->oiyx", mix, beta.weight.double()).to(gamma.weight.dtype)
    bias = (mix @ bias_of(beta).double()).to(gamma.weight.dtype)
    return torch.cat([gamma.weight, weight]), torch.cat([bias_of(gamma) + 1, bias])


def _baked(conv: SpectralConv2d) -> nn.Conv2d:
    """A plain convolution with the final weight."""
    return convolution(conv.weight(), conv.bias, conv.padding)
