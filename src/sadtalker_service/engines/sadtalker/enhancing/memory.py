"""Handle a lack of memory on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


def unless_full(compute: Callable[[], Result]) -> Result | None:
    """The result of `compute`, or None if memory ran out. Its memory is free again after that."""
    try:
        return compute()
    except torch.OutOfMemoryError:
        pass  # the error keeps intermediate results alive, so leave its scope before freeing memory
    torch.cuda.empty_cache()
    return None
