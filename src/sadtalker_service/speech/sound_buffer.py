"""The part of a recording that is still needed, while the recording arrives in pieces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class SoundBuffer:
    """Samples of a recording from `start` on. Positions count from the beginning of the recording."""

    def __init__(self, pieces: Iterator[Samples]) -> None:
        """`pieces`: float32 (n,) each, mono, 16 kHz, of any length."""
        self._pieces = pieces
        self._kept: list[Samples] = []
        self._start = 0
        self._end = 0

    @property
    def end(self) -> int:
        """Samples so far. The length of the recording once `reaches` was False."""
        return self._end

    def reaches(self, position: int) -> bool:
        """Whether the recording has so many samples. Takes pieces until that is known."""
        while self._end < position:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._kept.append(piece)
            self._end += len(piece)
        return True

    def between(self, first: int, last: int) -> Samples:
        """The samples from `first` up to `last`, or up to the end if that is earlier."""
        if len(self._kept) != 1:
            self._kept = [np.concatenate(self._kept) if self._kept else np.zeros(0, np.float32)]
        return self._kept[0][max(0, first - self._start) : max(0, last - self._start)]

    def forget(self, position: int) -> None:
        """Drop the samples before `position`."""
        if position > self._start:
            rest = self.between(position, self._end).copy()
            self._start += len(self._kept[0]) - len(rest)
            self._kept = [rest]


def in_blocks(pieces: Iterator[Samples], size: int) -> Iterator[Samples]:
    """The same sound in blocks of `size` samples, however it was cut.

    The last one is shorter, maybe empty.
    """
    sound, done = SoundBuffer(pieces), 0
    while sound.reaches(done + size):
        yield sound.between(done, done + size)
        done += size
        sound.forget(done)
    yield sound.between(done, sound.end)
