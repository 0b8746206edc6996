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
    """Audio cut, or padded with silence, to the length of its video, in constant memory."""

    def __init__(self, sound: Sound, seconds: Fraction) -> None:
        self.rate = sound.rate
        self.channels = sound.channels
        self.samples = round(seconds * sound.rate)
        """Length N, samples per channel."""
        self.taken = 0
        """Samples per channel returned so far."""
        self._chunks = sound.chunks
        self._rest = np.zeros((0, sound.channels), np.float32)

    def take(self, count: int) -> NDArray[np.float32]:
        """Return the next `count` samples, fewer only at the end of the video: float32 (n, channels)."""
        count = min(count, self.samples - self.taken)
        while len(self._rest) < count:
            piece = next(self._chunks, None)
            if piece is None:
                piece = np.zeros((count - len(self._rest), self.channels), np.float32)
            self._rest = np.concatenate((self._rest, piece))
        taken, self._rest = self._rest[:count], self._rest[count:]
        self.taken += count
        return taken
