"""From the trained form to the form that is run: the same function, less work.

A block that can do with less knows how (`inference_form`): batch norms go into the convolutions before them,
spectral norms into their weights, convolutions of enlarged maps are split by phase. Sums are made in float64
and rounded once, so that the results stay within rounding of the trained form.
"""

from __future__ import annotations

from typing import Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
Convolution = TypeVar("Convolution", nn.Conv1d, nn.Conv2d, nn.Conv3d)


@runtime_checkable
class Reducible(Protocol):
    """A block that has a cheaper form for evaluation."""

    def inference_form(self) -> nn.Module:
        """A module that gives the same result. The block itself is not to be used afterwards."""


def prepare(network: Network) -> Network:
    """Put `network` into its inference form, in place where it can be; its parameters change their names."""
    if isinstance(network, Reducible):
        return frozen(cast("Network", network.inference_form()))
    for name, child in network.named_children():
        setattr(network, name, prepare(child))
    return frozen(network)


def frozen(network: Network) -> Network:
    """`network` for evaluation only, its parameters without gradients."""
    return network.eval().requires_grad_(requires_grad=False)


def fold(conv: Convolution, norm: nn.Module) -> Convolution:
    """`conv` with the batch norm that follows it multiplied in; changes `conv` and gives it back.

    y = (W x + b - m) s + n with s = w / sqrt(v + eps), so W' = W s and b' = (b - m) s + n.
    """
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = torch.zeros_like(scale) if conv.bias is None else conv.bias.double()
    shape = (-1, *(1,) * (conv.weight.dim() - 1))
    weight = conv.weight.double() * scale.view(shape)
    conv.weight = parameter(weight, like=conv.weight)
    conv.bias = parameter((bias - norm.running_mean.double()) * scale + norm.bias.double(), like=conv.weight)
    return conv


def parameter(values: Tensor, like: Tensor) -> nn.Parameter:
    """A frozen parameter with the values, rounded to the type of `like`."""
    return nn.Parameter(values.to(like.dtype).contiguous(), requires_grad=False)
