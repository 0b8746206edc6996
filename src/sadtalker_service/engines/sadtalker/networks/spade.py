"""The SPADE decoder: a map of features becomes an image four times as large (Park et al. 2019)."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONDITION = 256
"""Channels of the map that the image is decoded from. The map also conditions every norm."""
SHARED = 128
SLOPE = 0.2
MIDDLE_BLOCKS = 6


class SpadeDecoder(nn.Module):
    """Checkpoint prefix `generator.decoder.`"""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(CONDITION, 512, 3, padding=1)
        for number in range(MIDDLE_BLOCKS):
            self.add_module(f"G_middle_{number}", SpadeBlock(512, 512))
        self.up_0 = SpadeBlock(512, 256)
        self.up_1 = SpadeBlock(256, 64)
        self.conv_img = nn.Conv2d(64, 3, 3, padding=1)

    def middle(self) -> list[SpadeBlock]:
        """The blocks that keep the size."""
        return [getattr(self, f"G_middle_{number}") for number in range(MIDDLE_BLOCKS)]

    def forward(self, condition: Tensor) -> Tensor:
        """(B, 256, h, w) -> (B, 3, 4h, 4w) RGB, 0..1."""
        x = self.fc(condition)
        for block in self.middle():
            x = block(x, condition)
        x = self.up_0(F.interpolate(x, scale_factor=2), condition)
        x = self.up_1(F.interpolate(x, scale_factor=2), condition)
        return torch.sigmoid(self.conv_img(F.leaky_relu(x, SLOPE)))


class SpadeBlock(nn.Module):
    """Twice norm, leaky ReLU, convolution, plus the input, or plus a norm and a convolution of it."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        inner = min(channels, features)
        self.conv_0 = SpectralConv2d(channels, inner, 3)
        self.conv_1 = SpectralConv2d(inner, features, 3)
        self.norm_0 = SpadeNorm(channels)
        self.norm_1 = SpadeNorm(inner)
        self.learned = channels != features
        if self.learned:
            self.conv_s = SpectralConv2d(channels, features, 1, bias=False)
            self.norm_s = SpadeNorm(channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shortcut = self.conv_s(self.norm_s(x, condition)) if self.learned else x
        x = self.conv_0(F.leaky_relu(self.norm_0(x, condition), SLOPE))
        x = self.conv_1(F.leaky_relu(self.norm_1(x, condition), SLOPE))
        return shortcut + x


class SpadeNorm(nn.Module):
    """Instance norm whose scale and shift are computed from the condition at each position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(CONDITION, SHARED, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(SHARED, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(SHARED, channels, 3, padding=1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, C, H, W) -> the same. The condition is enlarged to this size by repeating cells."""
        shared = self.mlp_shared(F.interpolate(condition, size=x.shape[2:]))
        return F.instance_norm(x) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)


class SpectralConv2d(nn.Module):
    """Convolution whose weight is divided by its largest singular value, as estimated in the checkpoint."""

    weight_u: Tensor
    weight_v: Tensor
    _SAME: ClassVar[dict[int, int]] = {1: 0, 3: 1}

    def __init__(self, channels: int, features: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight_orig = nn.Parameter(torch.empty(features, channels, kernel, kernel))
        self.register_buffer("weight_u", torch.empty(features))
        self.register_buffer("weight_v", torch.empty(channels * kernel * kernel))
        self.bias = nn.Parameter(torch.empty(features)) if bias else None
        self.padding = self._SAME[kernel]

    def weight(self) -> Tensor:
        """(features, channels, kernel, kernel): W / (u . W v)."""
        largest = torch.dot(self.weight_u, self.weight_orig.flatten(1) @ self.weight_v)
        return self.weight_orig / largest

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight(), self.bias, padding=self.padding)
