"""Count the multiply-adds of convolutions and matrix products, to show what a faster form saves.

Also works on tensors without values (`torch.device("meta")`), where it takes no time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(run: Callable[[], object]) -> dict[str, int]:
    """Multiply-adds of `run` by the class name of each module that it calls, with the total as `Global`."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    # torch counts a multiply-add as two operations
    return {part: sum(counts.values()) // 2 for part, counts in counter.get_flop_counts().items()}
