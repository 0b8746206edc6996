"""Operations on tracks of coefficients over time: smoothing, looping, resampling.

A track is (N, C), one row per frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

_WINDOW, _ORDER = 13, 2
"""Frames (half a second) and polynomial order of the Savitzky-Golay filter."""
SMOOTHED_OVER = _WINDOW // 2
"""Frames before and after a frame that its smoothed value depends on."""


def smoothed(track: Float32) -> Float32:
    """(N, C): each value comes from a parabola fitted to the frames around it. At both ends it comes from the
    parabola of the first or last window. A track of fewer than 3 frames is unchanged."""
    window = min(_WINDOW, len(track) - (len(track) + 1) % 2)
    if window <= _ORDER:
        return track
    half = window // 2
    powers = np.arange(-half, half + 1.0)[:, None] ** np.arange(_ORDER + 1)
    fitted = powers @ np.linalg.pinv(powers)  # values in the window -> parabola at the same frames
    values = track.astype(np.float64)
    inner = np.lib.stride_tricks.sliding_window_view(values, window, axis=0) @ fitted[half]
    first, last = fitted[:half] @ values[:window], fitted[half + 1 :] @ values[-window:]
    return np.concatenate([first, inner, last]).astype(np.float32)


def repeated(track: Float32, frames: int) -> Float32:
    """(frames, C) of a track, repeated from its beginning."""
    return track[np.arange(frames) % len(track)]


def there_and_back(track: Float32, frames: int, first: int = 0) -> Float32:
    """(frames, C) of a track, played forwards and backwards in turn, without a jump. Starts at frame
    `first`."""
    last = len(track) - 1
    if last == 0:
        return np.repeat(track, frames, axis=0)
    return track[last - np.abs(np.arange(first, first + frames) % (2 * last) - last)]


def resampled(track: Float32, times: NDArray[np.floating], wanted: NDArray[np.floating]) -> Float32:
    """(M, C) of a track at other times, by linear interpolation. Its end values continue indefinitely.

    Args:
        track: (N, C), N >= 1.
        times: (N,) seconds of its rows, ascending, not necessarily even.
        wanted: (M,) seconds.
    """
    last = len(times) - 1
    after = np.clip(np.searchsorted(times, wanted, side="right"), min(1, last), last)
    before = np.maximum(after - 1, 0)
    gap = np.maximum(times[after] - times[before], 1e-9)  # 0 for a single row
    share = np.clip((wanted - times[before]) / gap, 0.0, 1.0)[:, None]
    return (track[before] * (1.0 - share) + track[after] * share).astype(np.float32)


def at_rate(track: Float32, rate: float, wanted: float, frames: int) -> Float32:
    """(frames, C) at `wanted` frames per second of a track at `rate`, starting with the same frame."""
    return resampled(track, np.arange(len(track)) / rate, np.arange(frames) / wanted)
