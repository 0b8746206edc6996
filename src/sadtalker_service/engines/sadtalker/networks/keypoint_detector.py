"""Keypoint detector: fifteen points of the face in a canonical pose."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.blocks import ConvNorm2d, UpBlock3d, coordinates

_DEPTH = 16
_SMOOTHING = 13
"""Width of the Gaussian filter before the image is shrunk by four. The checkpoint holds its values."""
_TEMPERATURE = 0.1
_WIDTHS = (3, 64, 128, 256, 512, 1024)
_UP_WIDTHS = (1024, 512, 256, 128, 64, 32)


class KeypointDetector(nn.Module):
    """Checkpoint prefix `kp_extractor.`"""

    def __init__(self, keypoints: int = 15) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 3, _SMOOTHING, stride=4, padding=_SMOOTHING // 2, groups=3, bias=False)
        self.predictor = _Predictor()
        self.kp = nn.Conv3d(_UP_WIDTHS[-1], keypoints, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) RGB, 0..1, H and W multiples of 128 -> (B, 15, 3) keypoints x y z, -1..1."""
        return expectation(self.kp(self.predictor(self.down(pictures))))


def expectation(logits: Tensor) -> Tensor:
    """(B, K, D, H, W) logits of each point's position -> (B, K, 3) mean position, x y z, -1..1.

    Divided by the actual sum of the shares, because a float32 softmax over 262144 voxels misses 1 by 3e-5.
    """
    heat = (logits.float() / _TEMPERATURE).flatten(2).softmax(2).view_as(logits)
    along = (heat.sum((2, 3)), heat.sum((2, 4)), heat.sum((3, 4)))
    means = [share @ coordinates(share.shape[2], share) / share.sum(2) for share in along]
    return torch.stack(means, 2)


class _Predictor(nn.Module):
    """(B, 3, h, w) -> (B, 32, 16, h, w): halved five times, given depth, doubled five times."""

    def __init__(self) -> None:
        super().__init__()
        pairs = enumerate(pairwise(_WIDTHS))
        self.down_blocks = nn.ModuleDict({f"down{i}": ConvNorm2d(a, b, halve=True) for i, (a, b) in pairs})
        self.conv = nn.Conv2d(_WIDTHS[-1], _UP_WIDTHS[0] * _DEPTH, 1)
        pairs = enumerate(pairwise(_UP_WIDTHS))
        self.up_blocks = nn.ModuleDict({f"up{i}": UpBlock3d(a, b) for i, (a, b) in pairs})

    def forward(self, x: Tensor) -> Tensor:
        for block in self.down_blocks.values():
            x = block(x)
        x = self.conv(x).unflatten(1, (_UP_WIDTHS[0], _DEPTH))
        for block in self.up_blocks.values():
            x = block(x)
        return x
