"""Stretches of a recording that are too quiet to be speech, whatever the recogniser hears in them.

A recogniser lets the last sound before a pause last for seconds, and finds sounds in hiss.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.speech.coarticulation import TICK_RATE

Float32 = NDArray[np.float32]

_QUIET = 0.36
"""Loudness below which a tick is quiet: a share of the range between silence and the loud parts around it."""
_SHORTEST = 90
"""Ticks. Shorter quiet is a stop or a breath between words."""
_ONGOING = 45
"""Ticks of quiet at the end of a window that count as a pause before its length is known."""


class QuietStretches:
    """Finds them window by window. Its memory is one stretch."""

    def __init__(self) -> None:
        self._heard = 0
        self._since: int | None = None
        """Tick since which it has been quiet."""

    def add(self, loudness: Float32) -> Float32:
        """float32 (Q, 2): start and end in seconds of the pauses in the next ticks of loudness (n,).

        One that began before starts there, and is returned again with every window that it lasts.
        """
        quiet = np.concatenate([[self._since is not None], loudness < _QUIET, [False]])
        edges = np.flatnonzero(quiet[1:] != quiet[:-1])
        starts: list[int] = []
        ends: list[int] = []
        for edge in edges.tolist():
            (ends if quiet[edge] else starts).append(self._heard + edge)
        if self._since is not None:
            starts.insert(0, self._since)
        self._heard += len(loudness)
        ongoing = bool(len(loudness)) and bool(quiet[-2])
        self._since = starts[-1] if ongoing and starts else None if len(loudness) else self._since
        pairs = zip(starts, ends, strict=True)
        kept = [
            (start, end)
            for start, end in pairs
            if end - start >= (_ONGOING if ongoing and end == self._heard else _SHORTEST)
        ]
        return np.array(kept, np.float32).reshape(-1, 2) / np.float32(TICK_RATE)


def united(first: Float32, second: Float32) -> Float32:
    """float32 (n, 2): stretches (start, end) that are in the first or the second, in order."""
    rows = np.concatenate([first, second])
    out: list[list[float]] = []
    for start, end in rows[np.argsort(rows[:, 0], kind="stable")].tolist():
        if out and start <= out[-1][1]:
            out[-1][1] = max(out[-1][1], end)
        else:
            out.append([start, end])
    return np.array(out, np.float32).reshape(-1, 2)
