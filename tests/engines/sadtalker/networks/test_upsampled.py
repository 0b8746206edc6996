"""Convolutions of enlarged maps, computed on the small map, equal those computed on the large one."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from sadtalker_service.engines.sadtalker.networks.upsampled import (  # noqa: E402
    DoubledConv3d,
    EnlargedConv2d,
    QuarterConv2d,
)

SHAPE = (2, 3, 5, 4)
"""Batch, channels, an odd height and a different width."""


def draw(*shape: int) -> Any:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)))


def close(found: Any, wanted: Any) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_doubled_map() -> None:
    x, weight, bias = draw(*SHAPE), draw(6, 3, 3, 3), draw(6)
    wanted = F.conv2d(F.interpolate(x, scale_factor=2), weight, bias, padding=1).relu()
    close(EnlargedConv2d(weight, bias, times=2)(x), wanted)


def test_map_enlarged_four_times_holds_every_value_once() -> None:
    x, weight, bias = draw(*SHAPE), draw(6, 3, 3, 3), draw(6)
    wanted = F.conv2d(F.interpolate(x, scale_factor=4), weight, bias, padding=1).relu()
    found = EnlargedConv2d(weight, bias, times=4)(x)
    for row in range(4):
        for column in range(4):
            once = found[:, :, row if row < 2 else row - 1 :: 3]
            once = once[:, :, :, column if column < 2 else column - 1 :: 3]
            close(once, wanted[:, :, row::4, column::4])


def test_second_convolution_of_the_map_enlarged_four_times() -> None:
    x, first, second = draw(*SHAPE), draw(6, 3, 3, 3), draw(7, 6, 3, 3)
    bias_1, bias_2 = draw(6), draw(7)
    large = F.conv2d(F.interpolate(x, scale_factor=4), first, bias_1, padding=1).relu()
    wanted = F.conv2d(large, second, bias_2, padding=1)
    padded = EnlargedConv2d(first, bias_1, times=4, border=1)(x)
    cells = list(QuarterConv2d(second, bias_2)(padded))
    assert len({(row, column) for row, column, _ in cells}) == 16
    for row, column, found in cells:
        close(found, wanted[:, :, row::4, column::4])


def test_doubled_volume() -> None:
    x, conv = draw(2, 3, 4, 5, 4), torch.nn.Conv3d(3, 6, 3, padding=1).double()
    wanted = conv(F.interpolate(x, scale_factor=(1, 2, 2))).relu()
    close(DoubledConv3d(conv)(x), wanted)
