"""Convolutions of enlarged maps, without enlarging them.

A map enlarged by repeating cells (nearest) holds every value several times. A 3-tap convolution of it is a
transposed convolution of the small map, whose taps are sums of the three:

- twice as large: an output cell sees two cells of the small map. 4 taps per axis, stride 2;
- four times as large: the two inner cells of the four see one and the same cell, so that only three values
  per axis and cell differ (`a b b c`). 5 taps per axis, stride 3, give a map of three times the size.

A further 3-tap convolution of `a b b c` is taken from the map of three times the size by `quarter_kernels`.

Zero padding carries over: outside of the small map is zero, as is outside of the large one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.inference import parameter

_DOUBLE = ((0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0))
"""Rows: taps of the transposed convolution; columns: how often it contains each of the three taps."""
_TREBLE = ((0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 1, 0), (1, 0, 0))


@dataclass(frozen=True)
class Phase:
    """One of the four cells that a cell becomes, along one axis: what it reads of the trebled, padded map."""

    start: int
    """Where its window begins: 3 cells further for each cell of the small map."""
    taps: tuple[tuple[int, int, int], ...]
    """Row per cell of the window: how often it takes each of the three taps."""


PHASES = (
    Phase(0, ((1, 0, 0), (0, 1, 0), (0, 0, 1))),  # c before, a, b
    Phase(1, ((1, 0, 0), (0, 1, 1))),  # a, b twice
    Phase(2, ((1, 1, 0), (0, 0, 1))),  # b twice, c
    Phase(2, ((1, 0, 0), (0, 1, 0), (0, 0, 1))),  # b, c, a after
)


def doubling_kernel(weight: Tensor) -> Tensor:
    """(out, in, 3, 3) or (out, in, 3, 3, 3) for the doubled map -> (in, out, [3,] 4, 4) for `conv_transpose`.

    Depth is not doubled; its taps are turned round, because a transposed convolution runs the other way.
    """
    kernel = _combined(weight, _DOUBLE, _DOUBLE).transpose(0, 1)
    return kernel.flip(2) if weight.dim() == 5 else kernel


def trebling_kernel(weight: Tensor) -> Tensor:
    """(out, in, 3, 3) for the map enlarged four times -> (in, out, 5, 5) for `conv_transpose2d`, stride 3."""
    return _combined(weight, _TREBLE, _TREBLE).transpose(0, 1)


def quarter_kernels(weight: Tensor) -> list[list[Tensor]]:
    """(out, in, 3, 3) -> 4 rows of 4 kernels (out, in, 3 or 2, 3 or 2), one per phase, stride 3."""
    return [[_combined(weight, row.taps, column.taps) for column in PHASES] for row in PHASES]


class DoubledConv2d(nn.Module):
    """3x3 convolution and ReLU of the doubled map: (B, C, H, W) -> (B, C', 2H, 2W)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = parameter(doubling_kernel(weight.double()), like=weight)
        self.bias = parameter(bias, like=weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1))


class DoubledConv3d(nn.Module):
    """3x3x3 convolution and ReLU of the map doubled in height and width: (B, C, D, H, W) -> 2H, 2W."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        if conv.bias is None:
            raise ValueError("The convolution needs a bias.")
        self.weight = parameter(doubling_kernel(conv.weight.double()), like=conv.weight)
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(F.conv_transpose3d(x, self.weight, self.bias, stride=(1, 2, 2), padding=1))


class TrebledConv2d(nn.Module):
    """3x3 convolution and ReLU of the map enlarged four times, each value once: (B, C', 3H, 3W)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = parameter(trebling_kernel(weight.double()), like=weight)
        self.bias = parameter(bias, like=weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(F.conv_transpose2d(x, self.weight, self.bias, stride=3, padding=1))


class QuarterConv2d(nn.Module):
    """3x3 convolution of the map enlarged four times, phase by phase, from the map of `TrebledConv2d`."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        rows = quarter_kernels(weight.double())
        kernels = [parameter(kernel, like=weight) for row in rows for kernel in row]
        self.kernels = nn.ParameterList(kernels)
        self.bias = parameter(bias, like=weight)

    def forward(self, padded: Tensor, row: int, column: int) -> Tensor:
        """Cells `4i + row`, `4j + column` of the result, (B, C', H, W); padded: (B, C, 3H + 2, 3W + 2)."""
        top, left = PHASES[row].start, PHASES[column].start
        bottom = padded.shape[2] - 2 + top
        right = padded.shape[3] - 2 + left
        window = padded[:, :, top:bottom, left:right]
        return F.conv2d(window, self.kernels[4 * row + column], self.bias, stride=3)


def _combined(
    weight: Tensor, rows: tuple[tuple[int, int, int], ...], columns: tuple[tuple[int, int, int], ...]
) -> Tensor:
    """The last two axes of `weight`, three taps each, combined: (..., len(rows), len(columns))."""
    vertical = torch.tensor(rows, dtype=weight.dtype, device=weight.device)
    horizontal = torch.tensor(columns, dtype=weight.dtype, device=weight.device)
    return torch.einsum("...yx,ry,cx->...rc", weight, vertical, horizontal)
