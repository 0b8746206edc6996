"""Convert channels of any layout to stereo or mono, and any sample rate to another."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from sadtalker_service.domain import SoundReading
from sadtalker_service.media.sound_block import Block

Float32 = NDArray[np.float32]

_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 4: "quad", 6: "5.1", 8: "7.1"}
"""Layouts of files that give a number of channels and no names."""
_UNNAMED = frozenset({"NONE", "UNK", "UNSD"})


def left_and_right(block: Block) -> Float32:
    """Downmix to float32 (n, 2), or (n, 1) for a block of one channel, with FFmpeg's own downmix of floats.

    It keeps the level of every channel (centre and surrounds at -3 dB, no effects channel), so a sum may
    exceed 1.
    """
    if len(block.names) == 1:
        return block.samples
    if len(block.names) == 2:
        return block.samples
    mixed: Float32 = block.samples @ _downmix(block.layout, block.names)
    return mixed


def mono_share(channels: int) -> float:
    """Factor for left and right before they are added to one channel.

    A stereo voice has the same wave in both. A downmix has a centre voice at -3 dB in both, and the sum
    restores its level.
    """
    return 0.5 if channels == 2 else float(np.sqrt(0.5))


class Mixer:
    """Converts blocks of any rate and layout to one rate and one or two channels.

    It adds no delay (soxr, high quality).
    """

    def __init__(self, rate: int, channels: int, reading: SoundReading) -> None:
        self._rate = rate
        self._channels = channels
        self._reading = reading
        self._from = rate
        self._stream: Any = None

    def push(self, block: Block) -> Float32:
        """Convert a block to float32 (m, channels) within -1..1. m may be 0 while the filter fills."""
        before = np.empty((0, self._channels), np.float32)
        if block.rate != self._from:  # joined recordings and some broadcasts change their rate
            before = self.finish()
            self._from = block.rate
            self._stream = None
            if block.rate != self._rate:
                self._stream = soxr.ResampleStream(block.rate, self._rate, self._channels, dtype="float32")
        mixed = self._mixed(block)
        if self._stream is not None:
            mixed = self._stream.resample_chunk(mixed).reshape(-1, self._channels)
        return np.clip(np.concatenate([before, mixed]) if len(before) else mixed, -1.0, 1.0)

    def finish(self) -> Float32:
        """Return the samples that are still in the filter."""
        empty = np.empty((0, self._channels), np.float32)
        if self._stream is None:
            return empty
        tail: Float32 = self._stream.resample_chunk(empty, last=True).reshape(-1, self._channels)
        return np.clip(tail, -1.0, 1.0)

    def _mixed(self, block: Block) -> Float32:
        both = left_and_right(block) * np.float32(self._reading.gain)
        if both.shape[1] == 1:
            return np.repeat(both, self._channels, axis=1)
        if self._reading.opposed:
            both = both * np.array([1.0, -1.0], np.float32)
        if self._channels == 1:
            share = mono_share(len(block.names))
            both = (both[:, :1] + both[:, 1:]) * np.float32(share)
        return np.ascontiguousarray(both, np.float32)


@lru_cache(maxsize=64)
def _downmix(layout: str, names: tuple[str, ...]) -> Float32:
    """float32 (len(names), 2): the share of each channel in left and right.

    FFmpeg downmixes one impulse per channel, and the result is its matrix.
    """
    count = len(names)
    if set(names) <= _UNNAMED:
        layout = _USUAL_LAYOUTS.get(count, "")
    impulses = np.eye(count, dtype=np.float32).reshape(1, -1)
    try:
        frame = av.AudioFrame.from_ndarray(impulses, format="flt", layout=layout)
        frame.sample_rate = 48_000
        mixed = av.AudioResampler(format="flt", layout="stereo", rate=48_000).resample(frame)
        weights = np.concatenate([piece.to_ndarray().reshape(-1, 2) for piece in mixed])
    except (av.error.FFmpegError, ValueError):
        weights = np.empty((0, 2), np.float32)
    if len(weights) != count or not weights.any():  # FFmpeg does not know the channels: treat all alike
        return np.full((count, 2), np.sqrt(0.5) / count, np.float32)
    return np.asarray(weights, np.float32)
