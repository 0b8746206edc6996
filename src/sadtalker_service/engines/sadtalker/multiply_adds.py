"""Counts the multiply-adds of convolutions and matrix products: the work that a faster form does without.

Works on tensors without values too (`torch.device("meta")`), where it takes no time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(run: Callable[[], object]) -> dict[str, int]:
    """Multiply-adds of `run` by the name of the module's class that it calls, and all of them as `Global`."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    # torch counts a multiply-add as two operations
    return {part: sum(counts.values()) // 2 for part, counts in counter.get_flop_counts().items()}
