"""Counts the multiply-adds of convolutions and matrix products: the work that a faster form does without.

Sampling, norms and whatever is done cell by cell are not counted; together they are under a hundredth. Works
on tensors without values too (`torch.device("meta")`), where it takes no time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

OTHER = "other"
"""What belongs to none of the parts that were named."""


def multiply_adds(run: Callable[[], object], parts: Mapping[str, nn.Module]) -> dict[str, int]:
    """Multiply-adds of `run`, by part: work goes to the innermost named module that it is done in."""
    counting = _Counting()
    with _told_apart(parts, counting), counting, torch.no_grad():
        run()
    return dict(counting.found)


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.inside = [OTHER]

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func not in _COUNTS:  # in inference mode what is counted may still be inside of a larger operation
            with self:
                result = func.decompose(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        result = func(*args, **(kwargs or {}))
        count = _COUNTS.get(func)
        if count is not None:
            self.found[self.inside[-1]] += count(result, *args)
        return result


@contextmanager
def _told_apart(parts: Mapping[str, nn.Module], counting: _Counting) -> Iterator[None]:
    handles = []
    for name, module in parts.items():
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: counting.inside.append(name)))
        handles.append(module.register_forward_hook(lambda *_: _left(counting)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _left(counting: _Counting) -> None:
    counting.inside.pop()


def _convolution(result: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> int:
    """A transposed convolution spreads every input cell, another gathers every output cell."""
    transposed = rest[4]
    cells = x if transposed else result
    return cells.numel() * weight[0].numel()


def _product(result: Tensor, *factors: Any) -> int:
    """(..., i, k) @ (..., k, j); the last two arguments are the factors, whether or not a sum comes first."""
    return result.numel() * int(factors[-2].shape[-1])


def _vector_product(_result: Tensor, x: Tensor, _y: Tensor) -> int:
    """A matrix or vector times a vector."""
    return x.numel()


_aten = torch.ops.aten
_COUNTS: dict[Any, Callable[..., int]] = {
    _aten.convolution.default: _convolution,
    _aten.mm.default: _product,
    _aten.addmm.default: _product,
    _aten.bmm.default: _product,
    _aten.baddbmm.default: _product,
    _aten.mv.default: _vector_product,
    _aten.dot.default: _vector_product,
}
