"""16-bit arithmetic like that of a GPU, on a CPU without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = (torch.conv2d, torch.conv3d, torch.conv_transpose3d)


class WideConvolutions(TorchFunctionMode):
    """Sums convolutions of 16-bit numbers in float32 and rounds once.

    torch can compute them on any CPU, but without a special instruction a frame takes many minutes.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        first = args[0] if args else None
        narrow = isinstance(first, torch.Tensor) and first.dtype in {torch.bfloat16, torch.float16}
        if not narrow or func not in _CONVOLUTIONS:
            return func(*args, **(kwargs or {}))
        wide = [value.float() if isinstance(value, torch.Tensor) else value for value in args]
        return func(*wide, **(kwargs or {})).to(first.dtype)
