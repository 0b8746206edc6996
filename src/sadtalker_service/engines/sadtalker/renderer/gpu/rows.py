"""Convolutions of maps whose channels are the last axis."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def map_weight(weight: Tensor, dtype: torch.dtype) -> nn.Parameter:
    """(F, C, y, x) weight of `conv2d`, laid out like the maps."""
    values = weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
    return nn.Parameter(values, requires_grad=False)


def volume_weight(weight: Tensor, dtype: torch.dtype) -> nn.Parameter:
    """(F, C, z, y, x) weight of `conv3d`, laid out like the volumes."""
    values = weight.detach().to(dtype).contiguous(memory_format=torch.channels_last_3d)
    return nn.Parameter(values, requires_grad=False)


def values(numbers: Tensor) -> nn.Parameter:
    """A bias. It stays in float32, because it is added to sums in float32."""
    return nn.Parameter(numbers.detach().float().contiguous(), requires_grad=False)


def conv2d(x: Tensor, weight: Tensor, padding: int = 0) -> Tensor:
    """(B, H, W, C) -> (B, H', W', F) without bias."""
    found = F.conv2d(x.permute(0, 3, 1, 2), weight, padding=padding)
    return found.permute(0, 2, 3, 1).contiguous()  # copies only if the library chose another layout


def conv3d(x: Tensor, weight: Tensor, padding: tuple[int, int, int] = (0, 0, 0)) -> Tensor:
    """(B, D, H, W, C) -> (B, D', H', W', F) without bias."""
    found = F.conv3d(x.permute(0, 4, 1, 2, 3), weight, padding=padding)
    return found.permute(0, 2, 3, 4, 1).contiguous()


def padded_outputs(weight: Tensor, multiple: int = 8) -> Tensor:
    """`weight` with outputs of zeros up to a multiple, because matrix units take channels by eight."""
    missing = -len(weight) % multiple
    return torch.cat([weight, weight.new_zeros(missing, *weight.shape[1:])])
