"""Convolutions of enlarged maps, without enlarging them.

A map enlarged by repeating cells (nearest) holds every value several times. A 3-tap convolution of it reads
one cell of the small map two or three times, so these taps can be summed beforehand. Along one axis:

- In a map twice as large, an output cell depends on two cells of the small map: 4 taps instead of 6.
- In a map four times as large, the two inner cells of the four depend on the same cell. Only three values
  differ (`a b b c`): 5 taps instead of 12. They are kept as a map of three times the size. A further 3-tap
  convolution of that map takes 10 taps instead of 12 (`QuarterConv2d`).

Zero padding carries over, because both the small map and the large map are zero outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.fusing import parameter

Taps = tuple[tuple[int, int, int], ...]
"""One row per cell that is read: how often it takes each of the three taps."""


@dataclass(frozen=True)
class _Place:
    """One of the output cells of a cell, along one axis."""

    number: int
    taps: Taps
    ahead: int = 0
    """1 if the first cell that is read is the cell itself, 0 if it is the one before."""


_FIRST: Taps = ((1, 0, 0), (0, 1, 1))
_LAST: Taps = ((1, 1, 0), (0, 0, 1))
_DOUBLE = ((_Place(0, _FIRST), _Place(1, _LAST, ahead=1)),)
_TREBLE = ((_Place(0, _FIRST), _Place(2, _LAST, ahead=1)), (_Place(1, ((1, 1, 1),)),))
"""Grouped by the number of cells that are read. Each pair of groups is one convolution."""

_ALL: Taps = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_QUARTERS: tuple[tuple[int, Taps], ...] = (
    (0, _ALL),  # c before, a, b
    (1, _FIRST),  # a, b twice
    (2, _LAST),  # b twice, c
    (2, _ALL),  # b, c, a after
)
"""For each of four cells, where its read of the padded map `.abcabc.` begins, and with which taps."""


class EnlargedConv2d(nn.Module):
    """3x3 convolution and ReLU of an enlarged map: (B, C, H, W) -> (B, C', n H + 2 p, n W + 2 p).

    n is 2 for the doubled map, and 3 for the map enlarged four times, with each value once. p is the width of
    the border of zeros around the result.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, times: int, border: int = 0) -> None:
        super().__init__()
        self.groups = list(product({2: _DOUBLE, 4: _TREBLE}[times], repeat=2))
        kernels = [
            torch.cat([_combined(weight, row.taps, column.taps) for row, column in product(rows, columns)])
            for rows, columns in self.groups
        ]
        self.kernels = nn.ParameterList(parameter(kernel, like=weight) for kernel in kernels)
        self.bias = parameter(bias, like=weight)
        self.cells = 2 if times == 2 else 3
        self.border = border

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        edge = self.border
        size = (self.cells * height + 2 * edge, self.cells * width + 2 * edge)
        result = blank(x, (batch, len(self.bias), *size)).zero_()
        inner = result[:, :, edge : size[0] - edge, edge : size[1] - edge]
        for (rows, columns), kernel in zip(self.groups, self.kernels, strict=True):
            reach = (kernel.shape[2] - 1, kernel.shape[3] - 1)
            bias = self.bias.repeat(len(rows) * len(columns))
            found = F.relu_(F.conv2d(x, kernel, bias, padding=reach)).split(len(self.bias), 1)
            for (row, column), part in zip(product(rows, columns), found, strict=True):
                cells = part[:, :, row.ahead : row.ahead + height, column.ahead : column.ahead + width]
                inner[:, :, row.number :: self.cells, column.number :: self.cells] = cells
        return result


class QuarterConv2d(nn.Module):
    """3x3 convolution of the map enlarged four times, from the output of `EnlargedConv2d` (border 1)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        kernels = [_combined(weight, row, column) for (_, row), (_, column) in product(_QUARTERS, repeat=2)]
        self.kernels = nn.ParameterList(parameter(kernel, like=weight) for kernel in kernels)
        self.bias = parameter(bias, like=weight)

    def forward(self, padded: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """(B, C, 3H + 2, 3W + 2) -> row, column, cells `4i + row`, `4j + column` (B, C', H, W)."""
        height, width = padded.shape[2] - 2, padded.shape[3] - 2
        windows: dict[tuple[int, int], Tensor] = {}
        for number, ((top, _), (left, _)) in enumerate(product(_QUARTERS, repeat=2)):
            if (top, left) not in windows:  # cut once, and shared by every convolution that reads it
                window = padded[:, :, top : top + height, left : left + width]
                windows[top, left] = blank(padded, (*padded.shape[:2], height, width)).copy_(window)
            found = F.conv2d(windows[top, left], self.kernels[number], self.bias, stride=3)
            yield number // 4, number % 4, found


class DoubledConv3d(nn.Module):
    """3x3x3 convolution and ReLU of the map doubled in height and width: (B, C, D, H, W) -> 2H, 2W.

    Computed as one transposed convolution of stride 2, whose four taps per axis are the sums.
    """

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        taps = (_LAST[1], _FIRST[1], _LAST[0], _FIRST[0])
        kernel = _combined(conv.weight, taps, taps).transpose(0, 1)
        self.weight = parameter(
            kernel.flip(2), like=conv.weight
        )  # a transposed convolution has the opposite direction in depth
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(F.conv_transpose3d(x, self.weight, self.bias, stride=(1, 2, 2), padding=1))


def blank(like: Tensor, shape: tuple[int, int, int, int]) -> Tensor:
    """Memory for a map with the layout of `like` (channels last or not)."""
    last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    memory_format = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=memory_format)


def _combined(weight: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """The last two axes of `weight`, three taps each, combined: float64 (..., len(rows), len(columns))."""
    vertical = torch.tensor(rows, dtype=torch.float64, device=weight.device)
    horizontal = torch.tensor(columns, dtype=torch.float64, device=weight.device)
    return torch.einsum("...yx,ry,cx->...rc", weight.double(), vertical, horizontal)
