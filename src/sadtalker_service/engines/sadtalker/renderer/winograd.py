"""3x3 convolutions on tiles of 4 x 4 outputs: 36 products per tile and channel instead of 144.

After Winograd (Lavin and Gray 2016). A tile of 6 x 6 inputs and the kernel are evaluated at points,
multiplied point by point, and interpolated. With the points 0, 1, -1, 1/2, -2 and infinity, the rounding
error equals that of the plain float32 convolution. In 16 bits this does not hold, and a GPU does not benefit.

The transforms are matrix products too, so everything uses the fastest routine of the CPU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.fusing import bias_of, parameter

TILE = 4
_WINDOW = TILE + 2
_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
_TILES_AT_ONCE = 512
"""Limits the intermediate arrays: 36 values per tile and channel."""
_WORTHWHILE = 128
"""Minimum number of channels in and out. With fewer, the plain convolution is as fast."""


class WinogradConv2d(nn.Module):
    """A 3x3 convolution, stride 1, padding 1: (B, C, H, W) -> (B, C', H, W), H and W multiples of 4."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        combine, kernel, spread = _transforms(conv.weight.device)
        taps = conv.weight.double().flatten(2)
        products = torch.kron(kernel, kernel) @ taps.flatten(0, 1).T
        self.kernel = parameter(products.view(-1, *taps.shape[:2]), like=conv.weight)
        self.spread = parameter(torch.kron(spread, spread), like=conv.weight)
        self.combine = parameter(torch.kron(combine, combine), like=conv.weight)
        self.bias = nn.Parameter(bias_of(conv), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        features, across = len(self.bias), width // TILE
        result = x.new_empty(batch, features, height, width)
        rows = max(1, _TILES_AT_ONCE // across) * TILE
        for padded, out in zip(F.pad(x, (1, 1, 1, 1)), result, strict=True):
            for top in range(0, height, rows):
                self._strip(padded[:, top : top + rows + 2], out[:, top : top + rows])
        return result

    def _strip(self, padded: Tensor, out: Tensor) -> None:
        """(C, h + 2, W + 2) -> (C', h, W), written into `out`."""
        windows = padded.unfold(1, _WINDOW, TILE).unfold(2, _WINDOW, TILE)
        channels, down, across = windows.shape[:3]
        points = self.spread @ windows.permute(3, 4, 0, 1, 2).reshape(_WINDOW**2, -1)
        products = torch.bmm(self.kernel, points.view(_WINDOW**2, channels, down * across))
        tiles = (self.combine @ products.flatten(1)).view(TILE, TILE, len(self.bias), down, across)
        cells = out.unflatten(1, (down, TILE)).unflatten(3, (across, TILE))
        torch.add(tiles.permute(2, 3, 0, 4, 1), self.bias[:, None, None, None, None], out=cells)


def use_tiles(network: nn.Module) -> None:
    """Compute the 3x3 convolutions with many channels in `network` on tiles."""
    for name, child in network.named_children():
        if isinstance(child, nn.Conv2d) and _is_worthwhile(child):
            setattr(network, name, WinogradConv2d(child))
        else:
            use_tiles(child)


def _is_worthwhile(conv: nn.Conv2d) -> bool:
    plain = conv.kernel_size == (3, 3) and conv.stride == (1, 1) and conv.padding == (1, 1)
    return plain and conv.bias is not None and min(conv.in_channels, conv.out_channels) >= _WORTHWHILE


def _transforms(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices, float64: products -> 4 outputs, 3 taps -> points, 6 inputs -> points.

    Rows of powers of the points evaluate a polynomial. The inverse for six of them interpolates. Every row is
    scaled so that the smallest weight of an input is one, and the taps compensate for it.
    """
    spread = torch.linalg.inv(_powers(_WINDOW)).T
    size = torch.where(spread.abs() > 1e-9, spread.abs(), torch.inf).amin(1, keepdim=True)
    found = (_powers(TILE).T, _powers(3) * size, spread / size)
    return found[0].to(device), found[1].to(device), found[2].to(device)


def _powers(count: int) -> Tensor:
    """(6, count): powers of each point. For infinity, only the highest."""
    finite = torch.tensor(_POINTS, dtype=torch.float64)[:, None] ** torch.arange(count)
    return torch.cat([finite, F.one_hot(torch.tensor([count - 1]), count).double()])
