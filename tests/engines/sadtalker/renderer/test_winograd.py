"""Convolutions on tiles are as exact as the plain ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from sadtalker_service.engines.sadtalker.renderer.winograd import WinogradConv2d, use_tiles  # noqa: E402


def test_equals_the_plain_convolution() -> None:
    conv = torch.nn.Conv2d(5, 7, 3, padding=1).double()
    x = torch.randn(2, 5, 12, 8, dtype=torch.float64)
    torch.testing.assert_close(WinogradConv2d(conv)(x), conv(x), rtol=0, atol=1e-12)


def test_rounding_is_that_of_the_plain_convolution() -> None:
    """At most three times that of the plain sum in float32, one product after the other.

    The summation order of a library's convolution differs between processors, and its rounding error by a
    factor of four. The plain sum is the same on all of them.
    """
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(256, 128, 3, padding=1)
    x = F.leaky_relu(torch.randn(1, 256, 32, 64), 0.2)
    exact = F.conv2d(x.double(), conv.weight.double(), conv.bias.double(), padding=1)
    found = root_mean_square(WinogradConv2d(conv)(x).double() - exact)
    assert found < 3 * root_mean_square(summed_in_order(conv, x, features=2) - exact[0, :2].flatten(1))


def summed_in_order(conv: Any, x: Any, features: int) -> Any:
    """(1, C, H, W) -> float64 (features, H W): the first features of `conv`, summed in order in float32."""
    taps = F.unfold(x, 3, padding=1)[0].numpy()
    weights = conv.weight.detach()[:features].flatten(1).numpy()
    # numpy's cumulative sum has a fixed order; other sums, also torch's, are split differently on each
    # machine
    sums = [np.cumsum(weight[:, None] * taps, axis=0, dtype=np.float32)[-1] for weight in weights]
    return torch.from_numpy(np.stack(sums) + conv.bias.detach()[:features, None].numpy()).double()


def root_mean_square(errors: Any) -> float:
    return float(errors.square().mean().sqrt().item())


def test_only_wide_3x3_convolutions_are_replaced() -> None:
    wide, narrow = torch.nn.Conv2d(128, 128, 3, padding=1), torch.nn.Conv2d(128, 64, 3, padding=1)
    other, halving = torch.nn.Conv2d(128, 128, 1), torch.nn.Conv2d(128, 128, 3, stride=2, padding=1)
    network = torch.nn.Sequential(torch.nn.Sequential(wide, narrow), other, halving)
    use_tiles(network)
    replaced = [isinstance(module, WinogradConv2d) for module in (*network[0], *network[1:])]
    assert replaced == [True, False, False, False]
