"""Inputs that the SadTalker golden values were measured with."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.engines.sadtalker.driving.parts import Part
from sadtalker_service.engines.sadtalker.driving.pieces import Piece

RATE = 16_000


def speech_like(milliseconds: int) -> NDArray[np.float32]:
    """A buzz with twelve harmonics and a varying pitch that swells twice a second, and some noise."""
    count = RATE * milliseconds // 1000
    t = np.arange(count) / RATE
    turn = 2 * np.pi
    phase = turn * (120 * t + 6 * np.sin(turn * 0.7 * t))
    voice = sum(np.sin(k * phase + 0.3 * k) / k for k in range(1, 13))
    swell = np.maximum(np.sin(turn * 2.1 * t) + 0.35, 0)
    hiss = np.random.RandomState(zlib.crc32(b"wave_input")).standard_normal(count)
    return (0.25 * swell * voice + 0.02 * hiss * (0.3 + np.cos(turn * 1.3 * t) ** 2)).astype(np.float32)


def photo(height: int, width: int) -> NDArray[np.uint8]:
    """(height, width, 3): `sadtalker_weights.picture` at any shape, in whole grey levels."""
    u, v = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    u, v, channel = u[..., None], v[..., None], np.arange(3.0)
    turn = 2 * np.pi
    slow = np.sin(turn * (1.5 * u + 0.7 * v) + 1.1 * channel)
    cross = np.cos(turn * (0.6 * u - 2.3 * v) - 0.8 * channel)
    fast = np.sin(turn * (9.0 * u + 5.0 * v) + 2.0 * channel)
    squares = 1.0 - 2.0 * np.mod(np.floor(16 * u) + np.floor(12 * v) + channel, 2.0)
    values = 0.5 + 0.45 * (0.40 * slow + 0.30 * cross + 0.12 * fast + 0.18 * squares)
    return np.round(255 * values.astype(np.float32)).astype(np.uint8)


def pieces_of(windows: NDArray[np.float32], size: int = 256) -> Iterator[Piece]:
    """The pieces of a video with these mel windows (T, 80, 16)."""
    total = len(windows)
    for first in range(0, total, size):
        last = first + size >= total
        shown = windows[first : first + size + (not last)]
        yield Piece(first, shown, total, exactly=True, duration=total / 25 if last else None)


def rows_of_parts(parts: Iterable[Part]) -> NDArray[np.float32]:
    """A whole track."""
    return np.concatenate([part.rows for part in parts])
