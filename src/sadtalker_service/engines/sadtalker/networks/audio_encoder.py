"""The audio encoder inside both audio networks: 0.2 s of mel spectrogram -> 512 numbers."""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.fusing import fold

MELS, STEPS = 80, 16
"""Bands and time steps (12.5 ms each) of one window."""
FEATURES = 512

_LAYERS = (
    # channels, features, kernel, stride, padding, residual
    (1, 32, 3, (1, 1), 1, False),
    (32, 32, 3, (1, 1), 1, True),
    (32, 32, 3, (1, 1), 1, True),
    (32, 64, 3, (3, 1), 1, False),
    (64, 64, 3, (1, 1), 1, True),
    (64, 64, 3, (1, 1), 1, True),
    (64, 128, 3, (3, 3), 1, False),
    (128, 128, 3, (1, 1), 1, True),
    (128, 128, 3, (1, 1), 1, True),
    (128, 256, 3, (3, 2), 1, False),
    (256, 256, 3, (1, 1), 1, True),
    (256, 512, 3, (1, 1), 0, False),
    (512, 512, 1, (1, 1), 0, False),
)
_WINDOWS_AT_ONCE = 128
"""The first maps take 164 kB per window, so 20 MB at a time for driven audio of any length."""


class AudioEncoder(nn.Sequential):
    """The encoder of Wav2Lip."""

    def __init__(self) -> None:
        super().__init__(*(_Layer(*layer) for layer in _LAYERS))

    def forward(self, windows: Tensor) -> Tensor:
        """(T, 1, 80, 16) mel windows, -4..4 -> (T, 512)."""
        pieces = [super(AudioEncoder, self).forward(piece) for piece in windows.split(_WINDOWS_AT_ONCE)]
        return torch.cat(pieces).flatten(1)


class _Layer(nn.Module):
    """Convolution, batch norm, optional residual, ReLU."""

    def __init__(
        self, channels: int, features: int, kernel: int, stride: tuple[int, int], padding: int, residual: bool
    ) -> None:
        super().__init__()
        conv = nn.Conv2d(channels, features, kernel, stride, padding)
        self.conv_block = nn.Sequential(conv, nn.BatchNorm2d(features))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv_block(x)
        return F.relu_(inner + x if self.residual else inner)

    def inference_form(self) -> Self:
        conv, norm = self.conv_block
        self.conv_block = nn.Sequential(fold(conv, norm))
        return self
