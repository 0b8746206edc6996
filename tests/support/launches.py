"""Counts what a GPU would have to launch, while the work runs on a CPU, or on tensors without values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_COPIES = {"aten.copy_", "aten._to_copy", "aten.clone"}
"""Changes of type and layout. All of them run torch's copy kernel."""
_NOTHING = {
    *("aten.empty", "aten.new_empty", "aten.empty_like", "aten.empty_strided", "aten.new_empty_strided"),
    *("aten.detach", "aten._unsafe_view", "aten._reshape_alias"),
}
"""They reserve memory or give it another shape."""


class Launches(TorchDispatchMode):
    """Context manager that counts operations of torch that start a kernel. A convolution with a bias starts
    two on a GPU, one that convolves and one that adds. Kernels of ours are counted by `kernel`."""

    def __init__(self) -> None:
        super().__init__()
        self.by_name: Counter[str] = Counter()
        self._inside_a_pass = False
        self.convolutions: list[tuple[Any, Any]] = []
        """Input and result of each."""

    @property
    def total(self) -> int:
        """All kernels."""
        return self.by_name.total()

    @property
    def copies(self) -> int:
        """Those that only change layout or type."""
        return sum(self.by_name[name] for name in _COPIES)

    def kernel(self, kernel: Any, grid: Sequence[int], *arguments: object, **constants: object) -> None:
        """Count a launch of a Triton kernel, which is not run."""
        assert all(grid)
        self.by_name[f"triton.{kernel.__name__}"] += 1

    def passes(self, steps: Any) -> Any:
        """`steps`, each of whose passes counts as one kernel, however many it has in plain torch."""
        return _Passes(self, steps)

    def one_pass(self, name: str, run: Callable[..., Any]) -> Any:
        """Run a pass and count it as one kernel."""
        self.by_name[f"pass.{name}"] += 1
        self._inside_a_pass = True
        try:
            return run()
        finally:
            self._inside_a_pass = False

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if self._inside_a_pass:
            return func(*args, **(kwargs or {}))
        with self:  # what is made of other operations counts as those
            found = func.decompose(*args, **(kwargs or {}))  # type: ignore[attr-defined]
        if found is not NotImplemented:
            return found
        name = str(func).rsplit(".", 1)[0]
        found = func(*args, **(kwargs or {}))
        if name == "aten.convolution":
            if found.is_meta:
                found = _laid_out_like(args[0], found)
            self.convolutions.append((args[0], found))
            if args[2] is not None:
                self.by_name["bias"] += 1
        if name not in _NOTHING and not getattr(func, "is_view", False):
            self.by_name[name] += 1
        return found


class _Passes:
    """Hands calls on to other steps."""

    def __init__(self, launches: Launches, steps: Any) -> None:
        self._launches = launches
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._steps, name)
        return lambda *args, **options: self._launches.one_pass(name, partial(method, *args, **options))


def _laid_out_like(given: Any, found: Any) -> Any:
    """Without values, a convolution always gives the default layout. On a GPU it keeps that of its input."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}[given.dim()]
    if not given.is_contiguous(memory_format=last) or given.is_contiguous():
        return found
    return torch.empty(found.shape, dtype=found.dtype, device="meta", memory_format=last)
