"""Restore the amplitude that averaging several segmentations takes from the motion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.media.one_pole import one_pole
from sadtalker_service.speech.coarticulation import TICK_RATE
from sadtalker_service.speech.visemes import JAW

Float32 = NDArray[np.float32]

_AT_MOST = 1.4
"""Largest amplification."""
_REMEMBERED = 6.0
"""Seconds after which a moment counts by a third in the amplitudes."""
_KEEP = float(np.exp(-1.0 / (_REMEMBERED * TICK_RATE)))
_COLUMNS = JAW + 1
"""The columns in millimetres come first."""


class AmplitudeRestorer:
    """Amplifies motion so that it varies as much as in a single segmentation.

    Both amplitudes are measured on the speech of the last seconds, because silence has none and speakers
    change. The first window starts with its own.
    """

    def __init__(self) -> None:
        self._sums: NDArray[np.float64] | None = None

    def restored(self, spoken: Float32, motions: Sequence[Float32], shares: Float32) -> Float32:
        """float32 (T, 8): the weighted mean of the motions (T, 8), amplified.

        Args:
            spoken: float32 (T,), share of speech in each tick, 0..1.
            motions: that of each segmentation.
            shares: the weight of each. They sum to 1.
        """
        motion = np.zeros_like(motions[0])
        for single, share in zip(motions, shares, strict=True):
            motion += share * single
        weight = (spoken + 1e-3).astype(np.float64)[:, None]
        moving = motion[:, :_COLUMNS].astype(np.float64)
        rows = [weight, weight * moving, weight * moving**2]
        for opinion, share in zip(motions, shares, strict=True):
            one_moves = opinion[:, :_COLUMNS].astype(np.float64)
            rows += [share * weight * one_moves, share * weight * one_moves**2]
        sums = self._remembered(np.concatenate(rows, axis=1))
        rest = sums[:, 1:].reshape(len(motion), 1 + len(motions), 2, _COLUMNS) / sums[:, :1, None, None]
        mean = rest[:, 0, 0]
        variance = np.maximum(rest[:, 0, 1] - mean**2, 0.0)
        parts = rest[:, 1:] / np.asarray(shares, np.float64)[:, None, None]
        singles = np.maximum(parts[:, :, 1] - parts[:, :, 0] ** 2, 0.0)
        one = (singles * np.asarray(shares, np.float64)[:, None]).sum(axis=1)
        gain = np.clip(np.sqrt(one / np.maximum(variance, 1e-6)), 1.0, _AT_MOST)
        motion[:, :_COLUMNS] = mean + gain * (moving - mean)
        return motion

    def _remembered(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over the last seconds, at every tick."""
        if not len(values):
            return values
        if self._sums is None or self._sums.shape != values.shape[1:]:
            self._sums = values.mean(axis=0) / (1.0 - _KEEP)
        return one_pole(values, _KEEP, self._sums)
