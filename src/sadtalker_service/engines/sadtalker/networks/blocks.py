"""Building blocks shared by several networks.

B batch, C channels, D depth, H height, W width. Attribute names are those of the checkpoints.
"""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.fusing import fold
from sadtalker_service.engines.sadtalker.networks.upsampled import DoubledConv3d

PLANE_HALF = (1, 2, 2)
"""Pooling that halves height and width but not depth."""


class ConvNorm2d(nn.Module):
    """3x3 convolution, batch norm, (leaky) ReLU, optionally halved. (B, C, H, W) in, 4-d out."""

    def __init__(self, channels: int, features: int, *, slope: float = 0.0, halve: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, features, 3, padding=1)
        self.norm: nn.Module = nn.BatchNorm2d(features)
        self.slope = slope
        self.halve = halve

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu_(self.norm(self.conv(x)), self.slope)
        return F.avg_pool2d(x, 2) if self.halve else x

    def inference_form(self) -> Self:
        """Fold the norm into the convolution."""
        self.conv, self.norm = fold(self.conv, self.norm), nn.Identity()
        return self


class ConvNorm3d(nn.Module):
    """3x3x3 convolution, batch norm, ReLU, optionally halved in height and width. 5-d in and out."""

    def __init__(self, channels: int, features: int, *, halve: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, features, 3, padding=1)
        self.norm: nn.Module = nn.BatchNorm3d(features)
        self.halve = halve

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.norm(self.conv(x)))
        # plane by plane, because on a CPU torch pools volumes only in float32
        return F.avg_pool2d(x.flatten(1, 2), 2).unflatten(1, x.shape[1:3]) if self.halve else x

    def inference_form(self) -> Self:
        """Fold the norm into the convolution."""
        self.conv, self.norm = fold(self.conv, self.norm), nn.Identity()
        return self


class UpBlock3d(nn.Module):
    """Height and width doubled (nearest), 3x3x3 convolution, batch norm, ReLU: (B, C', D, 2H, 2W)."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, features, 3, padding=1)
        self.norm = nn.BatchNorm3d(features)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=PLANE_HALF)
        return F.relu_(self.norm(self.conv(x)))

    def inference_form(self) -> nn.Module:
        """Fold the norm into the convolution, and the convolution into the doubling."""
        return DoubledConv3d(fold(self.conv, self.norm))


class ResidualBlock3d(nn.Module):
    """Twice batch norm, ReLU, 3x3x3 convolution, plus the input. (B, C, D, H, W) in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm3d(channels)
        self.norm2: nn.Module = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.relu_(self.norm1(x)))
        return self.conv2(F.relu_(self.norm2(inner))) + x

    def inference_form(self) -> Self:
        """Fold the second norm into the convolution before it. The first norm follows a sum and stays."""
        self.conv1, self.norm2 = fold(self.conv1, self.norm2), nn.Identity()
        return self


def coordinates(size: int, like: Tensor) -> Tensor:
    """(size,) float32 coordinates from -1 at the first cell to 1 at the last, on the device of `like`."""
    return torch.linspace(-1.0, 1.0, size, dtype=torch.float32, device=like.device)
