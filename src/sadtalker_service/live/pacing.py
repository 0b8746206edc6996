"""When each frame of a live session is due."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

_LONGEST_LAG = 1.0
"""Seconds. A session that is further behind stood still, and goes on from where it was."""


@dataclass(frozen=True)
class Turn:
    """What to do for the next frame."""

    wait: float
    """Seconds until it is due, 0 if it is late."""
    draw: bool
    """False if there is no time to draw it: its sound goes out with the picture before."""


class Pacer:
    """Frame n is due n / fps seconds after the first one, no matter how long earlier frames took.

    For each frame: take a `turn`, wait, make the frame, call `done`. Picture and sound come from the same
    frames and cannot drift apart.
    """

    def __init__(self, fps: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds."""
        self._period = 1.0 / fps
        self._clock = clock
        self._start: float | None = None
        self._index = 0
        self.late = 0
        """Frames that were done after the next one was due."""
        self.skipped = 0
        """Frames that were not drawn."""
        self.stalls = 0
        """Times at which the session stood still for more than a second."""

    @property
    def frames(self) -> int:
        """Frames that were done."""
        return self._index

    def turn(self) -> Turn:
        """The turn of the next frame."""
        now = self._clock()
        if self._start is None:
            self._start = now
        wait = self._start + self._index * self._period - now
        if wait < -_LONGEST_LAG:
            self.stalls += 1
            self._start -= wait
            wait = 0.0
        draw = wait > -self._period
        self.skipped += not draw
        return Turn(max(0.0, wait), draw)

    def done(self) -> None:
        """Record that the frame was made."""
        due = (self._start or 0.0) + self._index * self._period
        self.late += self._clock() > due + self._period
        self._index += 1
