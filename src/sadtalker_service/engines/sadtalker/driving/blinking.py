"""Random blink times, reproducible by seed."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

_BLINK = (0.5, 0.9, 1.0, 0.9, 0.5)
"""Eye closure in the frames of a blink, 0..1."""
FRAMES_OF_A_BLINK = len(_BLINK)
_SHORTEST_PAUSE, _LONGEST_PAUSE = 10, 70
"""Frames from the end of a blink to the next. The longest is excluded, and at most half of the video."""
SETTLED_FROM = 2 * _LONGEST_PAUSE
"""The blinks of a video of at least so many frames do not change if it becomes longer, except for another
blink that begins in its last `FRAMES_OF_A_BLINK` frames."""


def blinks(frames: int, seed: int) -> NDArray[np.float32]:
    """(frames,) 0..1: eye closure at 25 fps, the same as in the original for the same seed.

    Videos of up to 21 frames have no blink, because there is no pause to choose from.
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
