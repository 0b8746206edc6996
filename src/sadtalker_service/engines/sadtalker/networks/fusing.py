"""From the trained form to the inference form: the same function with less work.

A block with a cheaper form implements `inference_form`. Batch norms are folded into the convolutions before
them, and spectral norms into their weights. Convolutions of enlarged maps are split by phase. Sums are
computed in float64 and rounded once, so the results stay within rounding of the trained form.
"""

from __future__ import annotations

from typing import Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


@runtime_checkable
class Reducible(Protocol):
    """A block that has a cheaper form for evaluation."""

    def inference_form(self) -> nn.Module:
        """A module that gives the same result. Do not use the block itself afterwards."""


def prepare(network: Network) -> Network:
    """Convert `network` to its inference form, in place where possible. Its parameter names change."""
    if isinstance(network, Reducible):
        return frozen(cast("Network", network.inference_form()))
    for name, child in network.named_children():
        setattr(network, name, prepare(child))
    return frozen(network)


def frozen(network: Network) -> Network:
    """`network` for evaluation only, with parameters without gradients."""
    return network.eval().requires_grad_(requires_grad=False)


def fold(conv: Network, norm: nn.Module) -> Network:
    """`conv` with the batch norm after it multiplied in. Modifies and returns `conv`.

    y = (W x + b - m) s + n with s = w / sqrt(v + eps), so W' = W s and b' = (b - m) s + n.
    """
    variance = norm.get_buffer("running_var").double() + cast("float", norm.eps)
    scale = norm.get_parameter("weight").double() / torch.sqrt(variance)
    weight = conv.get_parameter("weight")
    bias = torch.zeros_like(scale) if conv.bias is None else conv.get_parameter("bias").double()
    shift = (bias - norm.get_buffer("running_mean").double()) * scale + norm.get_parameter("bias").double()
    conv.weight = parameter(weight.double() * scale.view(-1, *(1,) * (weight.dim() - 1)), like=weight)
    conv.bias = parameter(shift, like=weight)
    return conv


def parameter(values: Tensor, like: Tensor) -> nn.Parameter:
    """A frozen parameter with these values, rounded to the dtype of `like`."""
    return nn.Parameter(values.to(like.dtype).contiguous(), requires_grad=False)


def convolution(weight: Tensor, bias: Tensor | None, padding: int = 0) -> nn.Conv2d:
    """A convolution with a (features, channels, size, size) weight."""
    features, channels, size, _ = weight.shape
    with torch.device("meta"):
        conv = nn.Conv2d(channels, features, size, padding=padding, bias=bias is not None)
    conv.weight = parameter(weight, like=weight)
    if bias is not None:
        conv.bias = parameter(bias, like=weight)
    return conv


def bias_of(conv: nn.Conv2d | nn.Conv3d) -> Tensor:
    """The bias of a convolution that has one."""
    if conv.bias is None:
        raise ValueError("The convolution has no bias.")
    return conv.bias
