"""Convert timed visemes to smooth viseme weights: each sound shapes the mouth, and neighbours blend.

Dominance blending after Cohen and Massaro, "Modeling Coarticulation in Synthetic Visual Speech" (1993).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from sadtalker_service.speech.phonemes import Segmentation
from sadtalker_service.speech.visemes import PUCKER, VISEME_TARGETS, VISEMES, WIDTH, as_visemes

TICK_RATE = 100
"""Ticks per second of all motion. Tick i is at i / TICK_RATE seconds."""

LEAD = 0.03
"""Time by which the lips lead the sound that they form, seconds."""

_DOMINANCE: dict[str, tuple[float, float]] = {
    "sil": (0.45, 0.035), "PP": (1.6, 0.0315), "FF": (1.3, 0.0315), "TH": (0.9, 0.042), "DD": (0.6, 0.042),
    "kk": (0.35, 0.042), "CH": (1.0, 0.042), "SS": (0.7, 0.042), "nn": (0.5, 0.042), "RR": (0.7, 0.042),
    "aa": (1.0, 0.042), "E": (0.9, 0.042), "I": (0.9, 0.042), "O": (1.1, 0.042), "U": (1.1, 0.042),
}  # fmt: skip
"""Strength of each viseme, and the time in seconds over which it fades outside its own segment. p b m f v and
rounding dominate their neighbours, while k g h let the next vowel through."""

_ROUNDING = 1.6
"""Factor by which the width of the lips fades more slowly than their opening: lips round and spread for a
sound before it begins, through others that leave them free (docs/speech.md)."""
_STEEPNESS = 1.4
"""Exponent of the fading, between an exponential (1) and a Gaussian (2)."""
_REACH = 0.25
"""A viseme has no influence beyond this distance from its segment, seconds."""
_SHORTEST = 0.03
"""Shorter segments are treated as if they had this length, seconds."""
_IDLE = 1e-3
"""Weight of the rest shape if no viseme is near."""
_SMOOTHING = 2.5
"""Standard deviation of the low-pass filter over the weights, ticks."""

Float32 = NDArray[np.float32]


def blended(segmentation: Segmentation, length: int, begin: int = 0) -> tuple[Float32, Float32]:
    """How a mouth speaks a segmentation from tick `begin` on.

    Returns the shares of the visemes, float32 (length, 15), and the motion, float32 (length, 8), as
    `ARTICULATORS`.
    """
    weights = viseme_weights(segmentation, length, begin)
    motion = weights @ VISEME_TARGETS
    shape = viseme_weights(segmentation, length, begin, _ROUNDING)
    motion[:, (WIDTH, PUCKER)] = shape @ VISEME_TARGETS[:, (WIDTH, PUCKER)]
    return weights, motion


def viseme_weights(segmentation: Segmentation, length: int, begin: int = 0, slower: float = 1.0) -> Float32:
    """float32 (length, 15): the share of every viseme at each tick from `begin` on. Each row sums to 1.

    `slower`: factor by which neighbours fade more slowly into each other.
    """
    weights = np.zeros((length, len(VISEMES)))
    weights[:, VISEMES.index("sil")] = _IDLE
    for viseme, start, end in as_visemes(segmentation.phonemes):
        strength, fade = _DOMINANCE[VISEMES[viseme]]
        fade *= slower
        middle = (start + end) / 2 - LEAD - begin / TICK_RATE
        half = max(end - start, _SHORTEST) / 2
        first = max(0, int((middle - half - _REACH) * TICK_RATE))
        last = min(length, int((middle + half + _REACH) * TICK_RATE) + 2)
        if first >= last:
            continue
        away = np.abs(np.arange(first, last) / TICK_RATE - middle) - half
        pull = strength * np.exp(-((np.maximum(away, 0.0) / fade) ** _STEEPNESS))
        weights[first:last, viseme] = np.maximum(weights[first:last, viseme], pull)
    weights /= weights.sum(axis=1, keepdims=True)
    smooth = gaussian_filter1d(weights, _SMOOTHING, axis=0, mode="nearest")
    return np.asarray(smooth, np.float32)
