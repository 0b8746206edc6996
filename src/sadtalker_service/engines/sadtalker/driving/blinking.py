"""When the eyes close: blinks at random times, the same for the same seed."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

_BLINK = (0.5, 0.9, 1.0, 0.9, 0.5)
"""How far the eyes are closed in the frames of a blink."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 10, 70
"""Frames from the end of a blink to the next; the longest is outside, and at most half of the video."""


def blinks(frames: int, seed: int) -> NDArray[np.float32]:
    """(frames,) 0..1: how far the eyes are closed at 25 fps, as the original has it for the same seed.

    Clips of up to 21 frames have no blink: there is no pause to choose from.
    """
    closed = np.zeros(frames, np.float32)
    pauses = range(_SHORTEST_PAUSE, min(frames // 2, _LONGEST_PAUSE))
    if not pauses:
        return closed
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    start = rng.choice(pauses)
    while start + len(_BLINK) <= frames - 1:
        closed[start : start + len(_BLINK)] = _BLINK
        start += len(_BLINK) + rng.choice(pauses)
    return closed
