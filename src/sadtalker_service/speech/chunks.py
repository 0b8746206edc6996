"""Cut long recordings into pieces at pauses, so that recognition takes linear time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from sadtalker_service.media.voice_activity import TICK
from sadtalker_service.speech.loudness import level_db

_SHORTEST = 1000
_LONGEST = 2000
"""Length of a piece, ticks of 10 ms. It is long enough to adapt to the voice and short enough to search."""


def cut_at_pauses(samples: NDArray[np.float32]) -> list[tuple[int, int]]:
    """(first, last + 1) samples of pieces that cover the recording, cut at its quietest moments."""
    level = gaussian_filter1d(level_db(samples), 5.0, mode="nearest")
    cuts = [0]
    while len(level) - cuts[-1] > _LONGEST:
        start = cuts[-1] + _SHORTEST
        window = level[start : min(cuts[-1] + _LONGEST, len(level) - _SHORTEST // 2)]
        cuts.append(start + int(np.argmin(window)))
    bounds = [cut * TICK for cut in cuts] + [len(samples)]
    return list(pairwise(bounds))
