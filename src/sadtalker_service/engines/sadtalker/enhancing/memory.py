"""What is done when the memory of the device does not suffice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


def unless_full(compute: Callable[[], Result]) -> Result | None:
    """What `compute` gives; None where memory ran out. What it took is free again then."""
    try:
        return compute()
    except torch.OutOfMemoryError:
        pass  # the error holds on to what was computed so far: let go of it before the memory is tidied up
    torch.cuda.empty_cache()
    return None
