"""Tracks that come part by part, for computations that read neighbouring frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.engines.sadtalker.driving.tracks import resampled

Float32 = NDArray[np.float32]


class Part(NamedTuple):
    """The next rows of a track."""

    rows: Float32
    """(n, ...), n >= 0."""
    duration: float | None
    """Seconds of the whole track, in its last part."""

    @property
    def is_last(self) -> bool:
        """Whether the track ends with it."""
        return self.duration is not None


def with_neighbours(
    parts: Iterator[Part], around: int, compute: Callable[[Float32, int], Float32]
) -> Iterator[Part]:
    """Compute a track from another one, each row as soon as its neighbours are known.

    Args:
        parts: of the other track.
        around: rows before and after a row that it depends on, at least one.
        compute: (n, ...) rows and the number of the first one -> as many rows. At the ends of the track it
            gets its ends. Elsewhere, what it gives for the first and the last `around` rows is not used.
    """
    held, first, done = None, 0, 0
    for rows, duration in parts:
        held = rows if held is None else np.concatenate([held, rows])
        known = first + len(held)
        until = known if duration is not None else max(done, known - around)
        if until > done:
            yield Part(compute(held, first)[done - first : until - first], duration)
        kept = max(first, until - around)
        held, first, done = held[kept - first :], kept, until


def at_rate(
    parts: Iterator[Part], rate: int, wanted: int, frames: Callable[[float, int], int]
) -> Iterator[Part]:
    """A track (N, C) at another rate, see `tracks.at_rate`.

    Args:
        parts: of the track at `rate` rows per second.
        rate: see there.
        wanted: rows per second of the result.
        frames: duration in seconds and rate -> number of rows of a whole track.
    """
    held, first, done = None, 0, 0
    for rows, duration in parts:
        held = rows if held is None else np.concatenate([held, rows])
        last = first + len(held) - 1
        # rows between two known ones, that belong to the track even if it ends here
        known = min(-(-last * wanted // rate), (last + 1) * wanted // rate)
        until = max(done, known) if duration is None else frames(duration, wanted)
        times = np.arange(first, last + 1) / rate
        yield Part(resampled(held, times, np.arange(done, until) / wanted), duration)
        done = until
        kept = max(first, min(last, done * rate // wanted) - 1)
        held, first = held[kept - first :], kept
