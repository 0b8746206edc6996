"""3DMM regression: a ResNet-50 that predicts 257 coefficients of a face model from an image."""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.fusing import fold

SIZE = 224
"""Height and width of the aligned face image."""
HEADS = (80, 64, 80, 3, 27, 2, 1)
"""Identity, expression, texture, angles (radians), spherical harmonics of light, x and y shift, depth."""
IDENTITY, EXPRESSION, TEXTURE = slice(0, 80), slice(80, 144), slice(144, 224)
ANGLE, LIGHT, SHIFT = slice(224, 227), slice(227, 254), slice(254, 257)
"""Their positions in the 257 coefficients. The shift is x, y and depth."""

_STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))
"""Blocks and inner width of the four stages (He et al. 2015, table 1). The outer width is four times that."""


class FaceRegression(nn.Module):
    """Checkpoint prefix `face_3drecon.`"""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _Backbone()
        self.final_layers = nn.ModuleList(nn.Conv2d(2048, width, 1) for width in HEADS)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, 224, 224) RGB, 0..1, aligned by the five points -> (B, 257) coefficients."""
        features = self.backbone(pictures)
        return torch.cat([head(features) for head in self.final_layers], 1).flatten(1)


class _Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(64)
        channels = 64
        for number, (blocks, width) in enumerate(_STAGES, 1):
            stride = 1 if number == 1 else 2
            stage = [
                _Bottleneck(channels if i == 0 else 4 * width, width, stride if i == 0 else 1)
                for i in range(blocks)
            ]
            self.add_module(f"layer{number}", nn.Sequential(*stage))
            channels = 4 * width

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu_(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        for number in range(1, len(_STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return F.adaptive_avg_pool2d(x, 1)

    def inference_form(self) -> Self:
        self.conv1, self.bn1 = fold(self.conv1, self.bn1), nn.Identity()
        for block in self.modules():
            if isinstance(block, _Bottleneck):
                block.fold_norms()
        return self


class _Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolutions, each with a batch norm, plus the input."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2: nn.Module = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3: nn.Module = nn.BatchNorm2d(4 * width)
        self.downsample: nn.Sequential | None = None
        if channels != 4 * width:
            shortcut = nn.Conv2d(channels, 4 * width, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu_(self.bn1(self.conv1(x)))
        x = F.relu_(self.bn2(self.conv2(x)))
        return F.relu_(self.bn3(self.conv3(x)) + shortcut)

    def fold_norms(self) -> None:
        self.conv1, self.bn1 = fold(self.conv1, self.bn1), nn.Identity()
        self.conv2, self.bn2 = fold(self.conv2, self.bn2), nn.Identity()
        self.conv3, self.bn3 = fold(self.conv3, self.bn3), nn.Identity()
        if self.downsample is not None:
            conv, norm = self.downsample
            self.downsample = nn.Sequential(fold(conv, norm))
