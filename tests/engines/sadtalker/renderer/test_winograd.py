"""Convolutions on tiles are as exact as the plain ones."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from sadtalker_service.engines.sadtalker.renderer.winograd import WinogradConv2d, use_tiles  # noqa: E402


def test_equals_the_plain_convolution() -> None:
    conv = torch.nn.Conv2d(5, 7, 3, padding=1).double()
    x = torch.randn(2, 5, 12, 8, dtype=torch.float64)
    torch.testing.assert_close(WinogradConv2d(conv)(x), conv(x), rtol=0, atol=1e-12)


def test_rounding_is_that_of_the_plain_convolution() -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(256, 128, 3, padding=1)
    x = F.leaky_relu(torch.randn(1, 256, 32, 64), 0.2)
    exact = F.conv2d(x.double(), conv.weight.double(), conv.bias.double(), padding=1)
    plain, tiles = (
        (found - exact).square().mean().sqrt().item() for found in (conv(x), WinogradConv2d(conv)(x))
    )
    assert tiles < 3 * plain


def test_only_wide_convolutions_of_that_shape_are_replaced() -> None:
    wide, narrow = torch.nn.Conv2d(128, 128, 3, padding=1), torch.nn.Conv2d(128, 64, 3, padding=1)
    other, halving = torch.nn.Conv2d(128, 128, 1), torch.nn.Conv2d(128, 128, 3, stride=2, padding=1)
    network = torch.nn.Sequential(torch.nn.Sequential(wide, narrow), other, halving)
    use_tiles(network)
    replaced = [isinstance(module, WinogradConv2d) for module in (*network[0], *network[1:])]
    assert replaced == [True, False, False, False]
