"""The inference form of dense motion.

Every keypoint only shifts the volume. So the shifted volumes and the blobs factor into one table per axis,
and small matrix products replace the sampling of each voxel of sixteen volumes.

B frames, S slots (0: nothing moves), K keypoints, D depth. h and w are a quarter of the frame's size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.blocks import coordinates
from sadtalker_service.engines.sadtalker.networks.dense_motion import (
    NEGLIGIBLE,
    SPREAD,
    Deformation,
    DenseMotion,
)
from sadtalker_service.engines.sadtalker.networks.fusing import bias_of, convolution, fold, prepare


class FastMotion(nn.Module):
    """Computes the same as `DenseMotion`. Takes over its parameters."""

    def __init__(self, trained: DenseMotion) -> None:
        super().__init__()
        self.compress = fold(trained.compress, trained.norm)
        self.hourglass = prepare(trained.hourglass)
        self.mask = trained.mask
        self.occlusion = _SumOfTaps(trained.occlusion)

    def compressed(self, volume: Tensor) -> Tensor:
        """(N, 32, D, h, w) features of N sources -> (N, 4, D, h, w), the same for every frame."""
        return F.relu_(self.compress(volume.to(self.compress.weight.dtype))).float()

    def forward(self, compressed: Tensor, source: Tensor, driving: Tensor) -> Deformation:
        """compressed: (1 or B, 4, D, h, w). source: (1 or B, K, 3), driving: (B, K, 3) keypoints, float32."""
        moves = F.pad(source - driving, (0, 0, 1, 0))
        size = compressed.shape[2:]
        heat = F.pad(blobs(driving, size) - blobs(source, size), (0, 0, 0, 0, 0, 0, 1, 0))
        hints = torch.cat([heat[:, :, None], shifted(compressed, moves)], 2).flatten(1, 2)
        features = self.hourglass(hints.to(self.mask.weight.dtype))
        share = F.threshold(self.mask(features).float().softmax(1), NEGLIGIBLE, 0.0)
        occlusion = torch.sigmoid(self.occlusion(features.flatten(1, 2)))
        return Deformation(deformed(share, moves), occlusion)


class _SumOfTaps(nn.Module):
    """A convolution to one channel: one matrix product per tap, then the sum of the shifted products.

    Convolution routines are built for many output channels and would waste all but one of them here.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.size = conv.kernel_size[0]
        taps = conv.weight[0].flip(1, 2)  # a tap that reads ahead shifts its product back
        self.taps = convolution(taps.flatten(1).T[:, :, None, None], None)
        self.bias = nn.Parameter(bias_of(conv), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 1, h, w)"""
        products = self.taps(x).flatten(2)
        return F.fold(products, x.shape[2:], self.size, padding=self.size // 2) + self.bias


def shifted(volume: Tensor, moves: Tensor) -> Tensor:
    """(1 or B, C, D, h, w) sampled at grid + move: (B, S, 3) moves x y z -> (B, S, C, D, h, w).

    As in `networks.dense_motion.sample`, the grid reaches the middle of the outermost cells but is read as if
    it reached their edges.
    """
    channels, depth, height, width = volume.shape[1:]
    x, y, z = (tents(moves[:, :, axis], size) for axis, size in enumerate((width, height, depth)))
    rows = volume.permute(0, 3, 1, 2, 4).flatten(2)
    moved = (y @ rows[:, None]).unflatten(3, (channels, depth, width))
    moved = (moved.flatten(2, 4) @ x.mT).view_as(moved)
    return (z[:, :, None, None] @ moved).permute(0, 1, 3, 4, 2, 5)


def tents(moves: Tensor, size: int) -> Tensor:
    """(B, S) moves along one axis -> (B, S, size, size): the share of cell j (last axis) in cell i."""
    cells = torch.arange(size, dtype=torch.float32, device=moves.device)
    place = ((coordinates(size, moves) + moves[..., None] + 1) * size - 1) / 2
    return (1 - (place[..., None] - cells).abs()).clamp_(min=0)


def blobs(points: Tensor, size: torch.Size) -> Tensor:
    """(B, K, 3) keypoints -> (B, K, D, h, w): exp(-distance² / 2 SPREAD), 1 at the keypoint."""
    x, y, z = (
        torch.exp((coordinates(cells, points) - points[:, :, axis, None]).square() * (-0.5 / SPREAD))
        for axis, cells in enumerate(reversed(size))
    )
    return z[:, :, :, None, None] * (y[:, :, None, :, None] * x[:, :, None, None, :])


def deformed(share: Tensor, moves: Tensor) -> Tensor:
    """Mean source position of each voxel: sum over slots of share (grid + move), (B, D, h, w, 3).

    share: (B, S, D, h, w), not necessarily summing to one. moves: (B, S, 3).
    """
    depth, height, width = share.shape[2:]
    total = share.sum(1)
    mean = (moves.mT @ share.flatten(2)).unflatten(2, share.shape[2:])
    x = total * coordinates(width, share)
    y = total * coordinates(height, share)[:, None]
    z = total * coordinates(depth, share)[:, None, None]
    return (mean + torch.stack([x, y, z], 1)).permute(0, 2, 3, 4, 1)
