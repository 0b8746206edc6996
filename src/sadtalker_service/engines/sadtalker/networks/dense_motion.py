"""Dense motion: from the movement of fifteen keypoints to the movement of every voxel, and what is hidden.

K keypoints; slot 0 is "nothing moves", slots 1..K "moves as keypoint k does".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.blocks import ConvNorm3d, UpBlock3d, coordinates

KEYPOINTS = 15
SLOTS = KEYPOINTS + 1
DEPTH = 16
COMPRESSED = 4
SPREAD = 0.01
"""Variance of the blob that stands for a keypoint, in coordinates -1..1."""
NEGLIGIBLE = 1e-3
"""Slots with a smaller share do not move a voxel."""

_IN = SLOTS * (COMPRESSED + 1)
_WIDTHS = (_IN, 64, 128, 256, 512, 1024)
_UP = ((1024, 512), (1024, 256), (512, 128), (256, 64), (128, 32))
_OUT = 32 + _IN


@dataclass(frozen=True)
class Deformation:
    """B frames at a quarter of the picture's size."""

    grid: Tensor
    """(B, D, h, w, 3): where each voxel comes from, x y z, -1..1."""
    occlusion: Tensor
    """(B, 1, h, w): how much of what arrives is visible, 0..1."""


class DenseMotion(nn.Module):
    """Checkpoint prefix `generator.dense_motion_network.`"""

    def __init__(self) -> None:
        super().__init__()
        self.hourglass = Hourglass()
        self.mask = nn.Conv3d(_OUT, SLOTS, 7, padding=3)
        self.compress = nn.Conv3d(32, COMPRESSED, 1)
        self.norm = nn.BatchNorm3d(COMPRESSED)
        self.occlusion = nn.Conv2d(_OUT * DEPTH, 1, 7, padding=3)

    def forward(self, volume: Tensor, source: Tensor, driving: Tensor) -> Deformation:
        """volume: (B, 32, D, h, w) features; source, driving: (B, K, 3) keypoints."""
        compressed = F.relu_(self.norm(self.compress(volume)))
        grid = _grid(compressed)
        moves = F.pad(source - driving, (0, 0, 1, 0))
        grids = grid + moves[:, :, None, None, None, :]
        moved = sample(compressed.repeat_interleave(SLOTS, 0), grids.flatten(0, 1))
        moved = moved.view(len(volume), SLOTS, *compressed.shape[1:])
        heat = F.pad(_blobs(driving, grid) - _blobs(source, grid), (0, 0, 0, 0, 0, 0, 1, 0))
        hints = torch.cat([heat[:, :, None], moved], 2).flatten(1, 2)
        features = self.hourglass(hints)
        share = self.mask(features).softmax(1)
        share = torch.where(share < NEGLIGIBLE, torch.zeros_like(share), share)
        deformed = (grids * share[..., None]).sum(1)
        return Deformation(deformed, torch.sigmoid(self.occlusion(features.flatten(1, 2))))


class Hourglass(nn.Module):
    """(B, 80, D, h, w) -> (B, 112, D, h, w), h and w multiples of 32; the last 80 start as the input."""

    def __init__(self) -> None:
        super().__init__()
        down = [ConvNorm3d(a, b, halve=True) for a, b in zip(_WIDTHS, _WIDTHS[1:], strict=False)]
        self.encoder = nn.ModuleDict({"down_blocks": nn.ModuleList(down)})
        up = nn.ModuleList(UpBlock3d(a, b) for a, b in _UP)
        last = ConvNorm3d(_OUT, _OUT)
        self.decoder = nn.ModuleDict({"up_blocks": up, "conv": last.conv, "norm": last.norm})

    def forward(self, x: Tensor) -> Tensor:
        levels = [x]
        for block in self.encoder["down_blocks"]:
            levels.append(block(levels[-1]))
        x = levels.pop()
        for block in self.decoder["up_blocks"]:
            x = torch.cat([block(x), levels.pop()], 1)
        return F.relu_(self.decoder["norm"](self.decoder["conv"](x)))


def sample(volume: Tensor, grid: Tensor) -> Tensor:
    """Values of (B, C, D, H, W) at (B, D', H', W', 3) places, trilinear, zero outside.

    The grid has -1 and 1 at the middle of the outermost cells; here they are taken for the edges of those
    cells. So the pictures were when the networks were trained, and so they have to stay.
    """
    return F.grid_sample(volume, grid, align_corners=False)


def _grid(like: Tensor) -> Tensor:
    """(D, h, w, 3): the place of every voxel, x y z."""
    z, y, x = (coordinates(size, like) for size in like.shape[-3:])
    z, y, x = torch.meshgrid(z, y, x, indexing="ij")
    return torch.stack([x, y, z], -1)


def _blobs(points: Tensor, grid: Tensor) -> Tensor:
    """(B, K, 3) keypoints -> (B, K, D, h, w), 1 at the keypoint."""
    distance = (grid - points[:, :, None, None, None, :]).square().sum(-1)
    return torch.exp(-0.5 * distance / SPREAD)
