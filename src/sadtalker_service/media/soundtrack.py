"""The soundtrack of a video: a stream of samples exactly as long as the video."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Sound(Protocol):
    """Audio that is read once, piece by piece. `audio.stream_sound` returns one."""

    @property
    def rate(self) -> int:
        """Samples per second, one of `audio.AAC_RATES`."""

    @property
    def channels(self) -> int:
        """Channels C, 1 or 2."""

    @property
    def chunks(self) -> Iterator[NDArray[np.float32]]:
        """float32 (n, C) within -1..1, finite, from the start of the audio."""


class Soundtrack:
    """Audio cut, or padded with silence, to the length of its video, in constant memory.

    The length need not be known before the last frame.
    """

    def __init__(self, sound: Sound, seconds: Fraction | None = None) -> None:
        """`seconds`: length of the video, if it is known."""
        self.rate = sound.rate
        self.channels = sound.channels
        self.taken = 0
        """Samples per channel returned so far."""
        self._samples: int | None = None
        self._chunks = sound.chunks
        self._rest = np.zeros((0, sound.channels), np.float32)
        if seconds is not None:
            self.end(seconds)

    def end(self, seconds: Fraction) -> None:
        """The video has this length. No more than that was taken."""
        self._samples = round(seconds * self.rate)

    def take(self, count: int, until: Fraction) -> NDArray[np.float32]:
        """The next `count` samples of the first `until` seconds: float32 (n, channels).

        None if there are not so many. If the length of the video is known and reached, what is left.
        """
        most = self.taken + count
        if self._samples is not None:
            most = min(most, self._samples)
        if most > until * self.rate and most != self._samples:
            most = self.taken
        count = most - self.taken
        while len(self._rest) < count:
            piece = next(self._chunks, None)
            if piece is None:
                piece = np.zeros((count - len(self._rest), self.channels), np.float32)
            self._rest = np.concatenate((self._rest, piece))
        taken, self._rest = self._rest[:count], self._rest[count:]
        self.taken = most
        return taken
