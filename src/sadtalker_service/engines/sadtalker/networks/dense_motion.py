"""Dense motion: from the motion of fifteen keypoints to the motion of every voxel, and an occlusion map.

K keypoints. Slot 0 means "nothing moves", slots 1..K mean "moves like keypoint k".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.blocks import ConvNorm3d, UpBlock3d, coordinates
from sadtalker_service.engines.sadtalker.networks.fusing import fold, prepare

KEYPOINTS = 15
SLOTS = KEYPOINTS + 1
DEPTH = 16
COMPRESSED = 4
SPREAD = 0.01
"""Variance of a keypoint's blob, in coordinates -1..1."""
NEGLIGIBLE = 1e-3
"""A slot with a smaller share does not move a voxel."""

_IN = SLOTS * (COMPRESSED + 1)
_WIDTHS = (_IN, 64, 128, 256, 512, 1024)
_UP = ((1024, 512), (1024, 256), (512, 128), (256, 64), (128, 32))
_OUT = 32 + _IN


@dataclass(frozen=True)
class Deformation:
    """B frames at a quarter of the frame's size."""

    grid: Tensor
    """(B, D, h, w, 3): source position of each voxel, x y z, -1..1."""
    occlusion: Tensor
    """(B, 1, h, w): visible share of the moved features, 0..1."""


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
        """volume: (B, 32, D, h, w) features. source, driving: (B, K, 3) keypoints."""
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
    """(B, 80, D, h, w) -> (B, 112, D, h, w), h and w multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _Encoder()
        self.decoder = _Decoder()

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class _Encoder(nn.Module):
    """The map in six sizes, each half of the previous one."""

    def __init__(self) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(ConvNorm3d(a, b, halve=True) for a, b in pairwise(_WIDTHS))

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class _Decoder(nn.Module):
    """Back to the first size. Each encoder map is concatenated with the decoder map of its size."""

    def __init__(self) -> None:
        super().__init__()
        self.up_blocks = nn.ModuleList(UpBlock3d(a, b) for a, b in _UP)
        self.conv = nn.Conv3d(_OUT, _OUT, 3, padding=1)
        self.norm: nn.Module = nn.BatchNorm3d(_OUT)

    def forward(self, levels: list[Tensor]) -> Tensor:
        x = levels[-1]
        for block, level in zip(self.up_blocks, levels[-2::-1], strict=True):
            x = torch.cat([block(x), level], 1)
        return F.relu_(self.norm(self.conv(x)))

    def inference_form(self) -> Self:
        self.up_blocks = prepare(self.up_blocks)
        self.conv, self.norm = fold(self.conv, self.norm), nn.Identity()
        return self


def sample(volume: Tensor, grid: Tensor) -> Tensor:
    """Values of (B, C, D, H, W) at (B, D', H', W', 3) positions, trilinear, zero outside.

    The grid has -1 and 1 at the middle of the outermost cells, but here they mean the edges of those cells.
    The networks were trained this way, so it must stay.
    """
    return F.grid_sample(volume, grid, align_corners=False)


def _grid(like: Tensor) -> Tensor:
    """(D, h, w, 3): the position of every voxel, x y z."""
    z, y, x = (coordinates(size, like) for size in like.shape[-3:])
    z, y, x = torch.meshgrid(z, y, x, indexing="ij")
    return torch.stack([x, y, z], -1)


def _blobs(points: Tensor, grid: Tensor) -> Tensor:
    """(B, K, 3) keypoints -> (B, K, D, h, w), 1 at the keypoint."""
    distance = (grid - points[:, :, None, None, None, :]).square().sum(-1)
    return torch.exp(-0.5 * distance / SPREAD)
