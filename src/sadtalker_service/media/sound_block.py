"""The samples of one decoder frame as float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

_PLAUSIBLE_RATES = range(2_000, 768_001)
"""Any other rate comes from a damaged header, Hz."""
_PLANES_READ = 7
"""Largest number of channels of a planar frame that PyAV reads safely. With more channels it reads past
FFmpeg's list of planes into unmapped memory, which crashes the process."""
_LARGEST_SAMPLE = 2.0**31
"""Float files may contain unscaled 32-bit integers, but nothing larger. A larger value is damage and becomes
0."""


@dataclass(frozen=True, eq=False)
class Block:
    """The content of one decoder frame."""

    samples: Float32
    """float32 (n, channels), finite."""
    rate: int
    names: tuple[str, ...]
    """Channel names in FFmpeg's form, e.g. FL. NONE if the file gives no names."""
    layout: str
    """FFmpeg's name of the layout."""


def block_of(frame: av.AudioFrame) -> Block | None:
    """Samples of a frame as float32 (n, channels), or None if its header is implausible.

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
    """Scale full scale to -1..1. Always copies."""
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - 128.0) / 128.0
    if np.issubdtype(raw.dtype, np.integer):
        return (raw / -float(np.iinfo(raw.dtype).min)).astype(np.float32)
    with np.errstate(over="ignore"):  # doubles beyond float32 become infinite, and later 0
        return raw.astype(np.float32)
