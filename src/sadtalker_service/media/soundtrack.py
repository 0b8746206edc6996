"""The sound of a video: a stream of samples made exactly as long as the picture, at a rate that AAC has."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Sample rates in Hz that are written as they come; every other is resampled to the last one."""


class Sound(Protocol):
    """A recording that is decoded piece by piece."""

    @property
    def rate(self) -> int:
        """Samples per second, Hz."""

    @property
    def channels(self) -> int:
        """Channels C, at least 1."""

    @property
    def chunks(self) -> Iterator[NDArray[np.float32]]:
        """float32 (n, C), n >= 0, nominally -1..1, from the start of the recording. Can be read once."""


class Soundtrack:
    """A recording cut, or padded with silence, to the length of its video; memory stays flat.

    Mono and stereo stay so, more channels become their mean. Samples that are not finite become silence,
    the others are held to -1..1.
    """

    def __init__(self, sound: Sound, seconds: Fraction) -> None:
        self.rate = sound.rate if sound.rate in AAC_RATES else AAC_RATES[-1]
        self.channels = sound.channels if sound.channels <= 2 else 1
        self.samples = round(seconds * self.rate)
        """Length N, samples per channel."""
        self.taken = 0
        """Samples per channel handed out so far."""
        self._sound = sound
        self._pieces = self._at_our_rate()
        self._rest = np.zeros((0, self.channels), np.float32)

    def take(self, count: int) -> NDArray[np.float32]:
        """The next `count` samples, fewer only at the end of the video: float32 (n, channels)."""
        count = min(count, self.samples - self.taken)
        while len(self._rest) < count:
            piece = next(self._pieces, None)
            if piece is None:
                piece = np.zeros((count - len(self._rest), self.channels), np.float32)
            self._rest = np.concatenate((self._rest, piece))
        taken, self._rest = self._rest[:count], self._rest[count:]
        self.taken += count
        return taken

    def _at_our_rate(self) -> Iterator[NDArray[np.float32]]:
        if self.rate == self._sound.rate:
            yield from self._clean()
            return
        resampler = soxr.ResampleStream(self._sound.rate, self.rate, self.channels, dtype="float32")
        for piece in self._clean():
            yield resampler.resample_chunk(piece)
        yield resampler.resample_chunk(np.zeros((0, self.channels), np.float32), last=True)

    def _clean(self) -> Iterator[NDArray[np.float32]]:
        for piece in self._sound.chunks:
            ours = piece if piece.shape[1] == self.channels else piece.mean(axis=1, keepdims=True)
            yield np.clip(np.nan_to_num(ours, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
