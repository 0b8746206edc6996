"""Source images as texels: RGB in the three lower bytes of a uint32, at twice the resolution.

Texel (2 i, 2 j) is exactly source pixel (i, j). The texels in between are interpolated with a Lanczos-3
kernel. Parts of the face that do not move are therefore reproduced bit for bit, and sub-pixel motion stays
sharp.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

PAD = 2
"""Texels of border on every side, replicated from the edge, so that a bilinear tap never leaves the array."""

_OFFSETS = np.arange(6) - 2.5
HALF_PIXEL_TAPS: NDArray[np.float32] = (
    np.sinc(_OFFSETS) * np.sinc(_OFFSETS / 3.0) / np.sum(np.sinc(_OFFSETS) * np.sinc(_OFFSETS / 3.0))
).astype(np.float32)
"""Lanczos-3 weights of the six pixels around a point halfway between two pixels."""


def pack(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Pack an image into texels.

    Args:
        pixels: uint8 (H, W, 3).

    Returns:
        uint32 (2 H + 2 PAD, 2 W + 2 PAD). Pixel (i, j) is texel (2 i + PAD, 2 j + PAD).
    """
    height, width = pixels.shape[:2]
    texels = np.empty((2 * height + 2 * PAD, 2 * width + 2 * PAD), np.uint32)
    # Always pass a writable array: numba compiles a second version of the kernel for a read-only one.
    _upsample(np.array(pixels, order="C"), HALF_PIXEL_TAPS, texels)
    return texels


@njit(cache=True, nogil=True, fastmath=True)
def _upsample(pixels: NDArray[np.uint8], taps: NDArray[np.float32], texels: NDArray[np.uint32]) -> None:
    height, width = pixels.shape[:2]
    row = np.empty((width, 3), np.float32)
    for y in range(2 * height):
        i = y >> 1
        if y & 1:
            row[:] = 0.0
            for k in range(6):
                source = pixels[min(max(i - 2 + k, 0), height - 1)]
                for x in range(width):
                    for c in range(3):
                        row[x, c] += taps[k] * source[x, c]
        else:
            for x in range(width):
                for c in range(3):
                    row[x, c] = pixels[i, x, c]
        out = texels[y + PAD]
        for x in range(width):
            out[2 * x + PAD] = _texel(row[x, 0], row[x, 1], row[x, 2])
            r = np.float32(0.0)
            g = np.float32(0.0)
            b = np.float32(0.0)
            for k in range(6):
                tap = row[min(max(x - 2 + k, 0), width - 1)]
                r += taps[k] * tap[0]
                g += taps[k] * tap[1]
                b += taps[k] * tap[2]
            out[2 * x + 1 + PAD] = _texel(r, g, b)
        out[:PAD] = out[PAD]
        out[2 * width + PAD :] = out[2 * width + PAD - 1]
    for k in range(PAD):
        texels[k] = texels[PAD]
        texels[2 * height + PAD + k] = texels[2 * height + PAD - 1]


@njit(cache=True, nogil=True, inline="always")
def _texel(r: float, g: float, b: float) -> np.uint32:
    red = np.uint32(min(max(r + 0.5, 0.0), 255.0))
    green = np.uint32(min(max(g + 0.5, 0.0), 255.0))
    blue = np.uint32(min(max(b + 0.5, 0.0), 255.0))
    return red | (green << np.uint32(8)) | (blue << np.uint32(16))
