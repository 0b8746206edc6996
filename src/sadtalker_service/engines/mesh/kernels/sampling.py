"""Bilinear samples of texels: one at a time, or one of the many along a row of a triangle.

Both give the same colour. The fast one keeps the four channels of two neighbours in one vector register, and
looks their weights up. numba has no types for vectors, so these few instructions are built for LLVM directly.
They are the same for every processor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

LANE_MASK = np.uint64(0x000000FF_00FF00FF)
"""Eight bits in each of three 16-bit lanes."""

LANE_HALF = np.uint64(0x00000080_00800080)
"""One half in each lane, for rounding before a shift by eight."""

_RED, _GREEN, _BLUE = np.uint64(0xFF), np.uint64(0xFF00), np.uint64(0xFF0000)


def _weights() -> NDArray[np.uint16]:
    """uint16 (256, 16): weights of both upper neighbours (four channels each) and of both lower ones.

    The row is 16 times the fraction of v plus that of u, both in sixteenths. Weights add up to 256.
    """
    fx, fy = np.arange(16), np.arange(16)[:, None]
    w11 = fx * fy
    w10, w01 = 16 * fy - w11, 16 * fx - w11
    corners = np.stack([256 - w11 - w10 - w01, w01, w10, w11], axis=-1)
    return np.repeat(corners.reshape(256, 4), 4, axis=1).astype(np.uint16)


_WEIGHTS = _weights()

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_PIXEL, _WIDE_PIXEL = ir.VectorType(_I8, 4), ir.VectorType(_I16, 4)
_PAIR, _WIDE_PAIR = ir.VectorType(_I8, 8), ir.VectorType(_I16, 8)


@njit(cache=True, nogil=True, inline="always")
def _lanes(texel: np.uint32) -> np.uint64:
    """The channels in 16-bit lanes."""
    wide = np.uint64(texel)
    return (wide & _RED) | ((wide & _GREEN) << np.uint64(8)) | ((wide & _BLUE) << np.uint64(16))


@njit(cache=True, nogil=True)
def blend(a: np.uint32, b: np.uint32, c: np.uint32, d: np.uint32, u: np.int64, v: np.int64) -> np.uint64:
    """Bilinear mean of four neighbours (a b above c d) at the fractions of the 16.16 coordinates u, v.

    It takes single texels instead of the array, because numba would count the array's references per pixel.
    Returns three 8-bit channels in 16-bit lanes.
    """
    fx = np.uint64((u >> 12) & 15)
    fy = np.uint64((v >> 12) & 15)
    w11 = fx * fy
    w10 = (fy << np.uint64(4)) - w11
    w01 = (fx << np.uint64(4)) - w11
    w00 = np.uint64(256) - w11 - w10 - w01
    total = _lanes(a) * w00 + _lanes(b) * w01 + _lanes(c) * w10 + _lanes(d) * w11
    return ((total + LANE_HALF) >> np.uint64(8)) & LANE_MASK


@njit(cache=True, nogil=True, inline="always")
def sample(texels: NDArray[np.uint32], u: np.int64, v: np.int64) -> np.uint32:
    """Bilinear sample at the 16.16 coordinates u, v, as a texel. Whether they are inside is not checked."""
    width = np.intp(texels.shape[1])
    at = (v >> 16) * width + (u >> 16)
    row = ((v >> 8) & 0xF0) | ((u >> 12) & 15)
    return _mean(texels, at, at + width, _WEIGHTS, row)  # type: ignore[call-arg]  # of numba's own


@njit(cache=True, nogil=True, inline="always")
def darkened(texel: np.uint32, shade: np.uint16) -> np.uint32:
    """A texel with every channel multiplied by `shade`, 0..256, of 256."""
    return _darkened(texel, shade)  # type: ignore[call-arg]  # of numba's own


@njit(cache=True, nogil=True, inline="always")
def put(out: NDArray[np.uint8], at: np.intp, texel: np.uint32) -> None:
    """Write the four bytes of a texel to byte `at` of the flat array."""
    _put(out, at, texel)  # type: ignore[call-arg]  # of numba's own


@intrinsic
def _mean(_typing: Any, texels: Any, above: Any, below: Any, weights: Any, row: Any) -> Any:
    """Weighted mean of texels `above`, `above + 1`, `below` and `below + 1`: indices into the flat array."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data, table = (context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 3))
        first = builder.mul(args[4], ir.Constant(_I64, 16))
        total = ir.Constant(_WIDE_PAIR, [128] * 4 + [0] * 4)  # one half, for rounding
        for at, offset in ((args[1], 0), (args[2], 8)):
            pair = builder.bitcast(builder.gep(data, [at]), _PAIR.as_pointer())
            factor = builder.gep(table, [builder.add(first, ir.Constant(_I64, offset))])
            factor = builder.bitcast(factor, _WIDE_PAIR.as_pointer())
            wide = builder.zext(builder.load(pair, align=4), _WIDE_PAIR)
            total = builder.add(total, builder.mul(wide, builder.load(factor, align=2)))
        left, right = (
            builder.shuffle_vector(total, total, ir.Constant(ir.VectorType(_I32, 4), list(range(k, k + 4))))
            for k in (0, 4)
        )
        return _packed(builder, builder.add(left, right))

    return types.uint32(texels, types.intp, types.intp, weights, types.intp), build


@intrinsic
def _darkened(_typing: Any, texel: Any, shade: Any) -> Any:
    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        wide = builder.zext(builder.bitcast(args[0], _PIXEL), _WIDE_PIXEL)
        factor = builder.insert_element(ir.Constant(_WIDE_PIXEL, ir.Undefined), args[1], ir.Constant(_I32, 0))
        factor = builder.shuffle_vector(factor, factor, ir.Constant(ir.VectorType(_I32, 4), [0] * 4))
        half = ir.Constant(_WIDE_PIXEL, [128] * 4)
        return _packed(builder, builder.add(builder.mul(wide, factor), half))

    return types.uint32(types.uint32, types.uint16), build


@intrinsic
def _put(_typing: Any, out: Any, at: Any, texel: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        target = builder.bitcast(builder.gep(data, [args[1]]), _I32.as_pointer())
        builder.store(args[2], target, align=1)
        return context.get_dummy_value()

    return types.void(out, types.intp, types.uint32), build


def _packed(builder: Any, wide: Any) -> Any:
    """The upper bytes of four 16-bit values as a texel."""
    upper = builder.lshr(wide, ir.Constant(_WIDE_PIXEL, [8] * 4))
    return builder.bitcast(builder.trunc(upper, _PIXEL), _I32)
