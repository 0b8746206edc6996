"""The U-Net that smooths a chunk of poses: a map of 32 frames by 6 values, halved only in time."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.fusing import fold

_WIDTHS = (32, 64, 128, 256)
_HALF = (2, 1)


class PoseUNet(nn.Module):
    """(B, 1, 32, 6) -> the same shape, 0..1."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = _WIDTHS
        self.input_layer = nn.Sequential(
            nn.Conv2d(1, a, 3, padding=1), nn.BatchNorm2d(a), nn.ReLU(), nn.Conv2d(a, a, 3, padding=1)
        )
        self.input_skip = nn.Sequential(nn.Conv2d(1, a, 3, padding=1))
        self.residual_conv_1 = _Residual(a, b, _HALF)
        self.residual_conv_2 = _Residual(b, c, _HALF)
        self.bridge = _Residual(c, d, _HALF)
        self.upsample_1 = _Doubled(d)
        self.up_residual_conv1 = _Residual(d + c, c)
        self.upsample_2 = _Doubled(c)
        self.up_residual_conv2 = _Residual(c + b, b)
        self.upsample_3 = _Doubled(b)
        self.up_residual_conv3 = _Residual(b + a, a)
        self.output_layer = nn.Sequential(nn.Conv2d(a, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        whole = self.input_layer(x) + self.input_skip(x)
        half = self.residual_conv_1(whole)
        quarter = self.residual_conv_2(half)
        x = self.upsample_1(self.bridge(quarter))
        x = self.upsample_2(self.up_residual_conv1(torch.cat([x, quarter], 1)))
        x = self.upsample_3(self.up_residual_conv2(torch.cat([x, half], 1)))
        return self.output_layer(self.up_residual_conv3(torch.cat([x, whole], 1)))

    def inference_form(self) -> Self:
        conv, norm, *rest = self.input_layer
        self.input_layer = nn.Sequential(fold(conv, norm), *rest)
        for block in self.children():
            if isinstance(block, _Residual):
                block.fold_norms()
        return self


class _Residual(nn.Module):
    """Twice batch norm, ReLU, convolution, plus a convolution and batch norm of the input."""

    def __init__(self, channels: int, features: int, stride: int | tuple[int, int] = 1) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, features, 3, stride, padding=1),
            nn.BatchNorm2d(features),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, padding=1),
        )
        self.conv_skip = nn.Sequential(
            nn.Conv2d(channels, features, 3, stride, padding=1), nn.BatchNorm2d(features)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_block(x) + self.conv_skip(x)

    def fold_norms(self) -> None:
        """Fold the norms that follow convolutions. The first norm stays."""
        first, relu, conv, second, relu_again, last = self.conv_block
        self.conv_block = nn.Sequential(first, relu, fold(conv, second), relu_again, last)
        skip, norm = self.conv_skip
        self.conv_skip = nn.Sequential(fold(skip, norm))


class _Doubled(nn.Module):
    """Doubles the number of frames."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(channels, channels, _HALF, stride=_HALF)

    def forward(self, x: Tensor) -> Tensor:
        return self.upsample(x)
