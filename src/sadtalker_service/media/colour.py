"""RGB to Y'CbCr 4:2:0, ITU-R BT.709, limited range, as H.264 players expect of a video with these tags.

With R'G'B' in 0..255, Kr = 0.2126, Kb = 0.0722 (BT.709-6, section 3):

    Y  =  16 + 219/255 (Kr R + Kg G + Kb B)
    Cb = 128 + 224/255 (B - E) / (2 (1 - Kb))       E = Kr R + Kg G + Kb B
    Cr = 128 + 224/255 (R - E) / (2 (1 - Kr))

Y is computed for every pixel, Cb and Cr from the mean of each 2x2 square, so chroma is sited at its centre.
The arithmetic is exact in integers: coefficients in units of 2^-16, sums rounded half up. A square of 2x2
pixels depends on nothing else. Converting a box with even coordinates therefore gives the same box of the
converted image, bit for bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

Plane = NDArray[np.uint8]

_KR, _KB = 0.2126, 0.0722
_KG = 1.0 - _KR - _KB
_ONE = 1 << 16
_HALF = _ONE // 2

_Y = tuple(round(k * 219 / 255 * _ONE) for k in (_KR, _KG, _KB))
# Four pixels are summed, so the unit is a quarter for each.
_CB = tuple(round(k / (2 * (1 - _KB)) * 224 / 255 * _ONE / 4) for k in (-_KR, -_KG, 1 - _KB))
_CR = tuple(round(k / (2 * (1 - _KR)) * 224 / 255 * _ONE / 4) for k in (1 - _KR, -_KG, -_KB))
_YR, _YG, _YB = (np.int32(k) for k in _Y)
_BR, _BG, _BB = (np.int32(k) for k in _CB)
_RR, _RG, _RB = (np.int32(k) for k in _CR)
_Y_OFFSET = np.int32(16 * _ONE + _HALF)
_C_OFFSET = np.int32(128 * _ONE + _HALF)
_SHIFT = np.int32(16)

_PICTURE = types.Array(types.uint8, 3, "C", readonly=True)
_PLANE = types.Array(types.uint8, 2, "C")


@njit(
    types.void(_PICTURE, _PLANE, _PLANE, _PLANE, types.int64, types.int64),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def rgb_to_yuv420(rgb: NDArray[np.uint8], y: Plane, cb: Plane, cr: Plane, x0: int, y0: int) -> None:
    """Convert `rgb` and write it into the planes of a larger image, with its top left corner at (x0, y0).

    rgb: uint8 (h, w, 3), h and w even. y: uint8 (H, >= W); cb and cr: uint8 (H/2, >= W/2). Padding of a plane
    counts as columns. All are C-contiguous. x0 and y0 are even, x0 + w <= W, y0 + h <= H. None of this is
    checked.
    """
    height, width = rgb.shape[0], rgb.shape[1]
    for row in range(height // 2):
        top = rgb[2 * row].reshape(-1)
        low = rgb[2 * row + 1].reshape(-1)
        y_top = y[y0 + 2 * row, x0 : x0 + width]
        y_low = y[y0 + 2 * row + 1, x0 : x0 + width]
        for x in range(width):
            r, g, b = np.int32(top[3 * x]), np.int32(top[3 * x + 1]), np.int32(top[3 * x + 2])
            y_top[x] = np.uint8((_YR * r + _YG * g + _YB * b + _Y_OFFSET) >> _SHIFT)
        for x in range(width):
            r, g, b = np.int32(low[3 * x]), np.int32(low[3 * x + 1]), np.int32(low[3 * x + 2])
            y_low[x] = np.uint8((_YR * r + _YG * g + _YB * b + _Y_OFFSET) >> _SHIFT)
        cb_row = cb[y0 // 2 + row, x0 // 2 : (x0 + width) // 2]
        cr_row = cr[y0 // 2 + row, x0 // 2 : (x0 + width) // 2]
        for x in range(width // 2):
            i = 6 * x
            r = np.int32(top[i]) + np.int32(top[i + 3]) + np.int32(low[i]) + np.int32(low[i + 3])
            g = np.int32(top[i + 1]) + np.int32(top[i + 4]) + np.int32(low[i + 1]) + np.int32(low[i + 4])
            b = np.int32(top[i + 2]) + np.int32(top[i + 5]) + np.int32(low[i + 2]) + np.int32(low[i + 5])
            cb_row[x] = np.uint8((_BR * r + _BG * g + _BB * b + _C_OFFSET) >> _SHIFT)
            cr_row[x] = np.uint8((_RR * r + _RG * g + _RB * b + _C_OFFSET) >> _SHIFT)
