"""What one frame of a decoder holds, as float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

_PLAUSIBLE_RATES = range(2_000, 768_001)
"""Anything else is a damaged header, Hz."""
_PLANES_READ = 7
"""Channels of a planar frame that PyAV's own reading is safe for: with more it runs past FFmpeg's list of
planes, into memory that is not there, and ends the process."""
_LARGEST_SAMPLE = 2.0**31
"""Float files may hold 32-bit integers as they are, but nothing above this: it is damage, and becomes 0."""


@dataclass(frozen=True, eq=False)
class Block:
    """What one decoder frame holds."""

    samples: Float32
    """float32 (n, channels), finite."""
    rate: int
    names: tuple[str, ...]
    """Channel names as FFmpeg has them, e.g. FL; NONE when the file does not say."""
    layout: str
    """FFmpeg's name of the layout."""


def block_of(frame: av.AudioFrame) -> Block | None:
    """Samples of a frame as float32 (n, channels), or None if its header cannot be true.

    Raises:
        av.error.FFmpegError: a layout that FFmpeg cannot convert.
    """
    layout: Any = frame.layout
    names = tuple(channel.name for channel in layout.channels)
    if frame.rate not in _PLAUSIBLE_RATES or not names or frame.samples == 0:
        return None
    if frame.format.is_planar and len(names) > _PLANES_READ:
        frame = _interleaved(frame)
    raw = frame.to_ndarray()
    samples = _as_float(raw.T if frame.format.is_planar else raw.reshape(-1, len(names)))
    samples[~(np.abs(samples) <= _LARGEST_SAMPLE)] = 0.0
    return Block(samples, frame.rate, names, layout.name)


def _interleaved(frame: av.AudioFrame) -> av.AudioFrame:
    """The same samples in one plane.

    Raises:
        av.error.FFmpegError: a layout that FFmpeg cannot convert.
    """
    packed = av.AudioResampler(format=frame.format.packed, layout=frame.layout, rate=frame.rate)
    (same,) = packed.resample(frame)
    return same


def _as_float(raw: NDArray[Any]) -> Float32:
    """Full scale to -1..1; always a copy."""
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - 128.0) / 128.0
    if np.issubdtype(raw.dtype, np.integer):
        return (raw / -float(np.iinfo(raw.dtype).min)).astype(np.float32)
    with np.errstate(over="ignore"):  # doubles beyond float32 become infinite, and 0 after that
        return raw.astype(np.float32)
