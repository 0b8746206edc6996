"""Triton kernels of the decoder's passes. Importing this needs Triton.

A program works on a few rows (pixels) and a block of channels. Everything is computed in float32.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def leaky(x, slope):  # type: ignore[no-untyped-def]
    """Leaky ReLU."""
    return tl.where(x > 0, x, x * slope)


@triton.jit
def wide(row):  # type: ignore[no-untyped-def]
    """Rows as a 64-bit column, because rows times channels may exceed 32 bits."""
    return row[:, None].to(tl.int64)


@triton.jit
def rows_kernel(  # type: ignore[no-untyped-def]
    x, bias, share, out, rows, channels, slope,
    PART: tl.constexpr, SHARED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """(rows, channels): leaky ReLU of x + bias, or with SHARED (x + bias) share. Channels are divided into
    parts of PART, which lie one after the other in `out`."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    here = (row < rows)[:, None] & (channel < channels)[None, :]
    value = tl.load(x + wide(row) * channels + channel[None, :], mask=here, other=0.0).to(tl.float32)
    value += tl.load(bias + channel, mask=channel < channels, other=0.0)[None, :]
    if SHARED:
        value *= tl.load(share + row, mask=row < rows, other=0.0)[:, None]
    else:
        value = leaky(value, slope)
    part = channel // PART
    target = (part[None, :] * rows + row[:, None]).to(tl.int64) * PART + (channel % PART)[None, :]
    tl.store(out + target, value.to(out.dtype.element_ty), mask=here)


@triton.jit
def spread_kernel(  # type: ignore[no-untyped-def]
    x, bias, out, rows, height, width, channels,
    TIMES: tl.constexpr, PLACES: tl.constexpr, PART: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """ReLU of the map enlarged TIMES, from (B, height + 1, width + 1, PLACES² channels). `rows` is the number
    of pixels of `out`, which is divided into parts of PART channels."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    here = (row < rows)[:, None] & (channel < channels)[None, :]
    source = wide(place_of(row, height, width, TIMES, PLACES)) * channels
    value = tl.load(x + source + channel[None, :], mask=here, other=0.0).to(tl.float32)
    value += tl.load(bias + channel, mask=channel < channels, other=0.0)[None, :]
    part = channel // PART
    target = (part[None, :] * rows + row[:, None]).to(tl.int64) * PART + (channel % PART)[None, :]
    tl.store(out + target, leaky(value, 0.0).to(out.dtype.element_ty), mask=here)


@triton.jit
def place_of(row, height, width, TIMES: tl.constexpr, PLACES: tl.constexpr):  # type: ignore[no-untyped-def]
    """Number of the block of channels that holds a pixel of the enlarged map (`steps.places`)."""
    across = row % (TIMES * width)
    down = (row // (TIMES * width)) % (TIMES * height)
    frame = row // (TIMES * width * TIMES * height)
    y = down % TIMES
    z = across % TIMES
    if TIMES == 4:
        y = (y + 1) // 2
        z = (z + 1) // 2
    top = down // TIMES + (y == PLACES - 1)
    left = across // TIMES + (z == PLACES - 1)
    cell = (frame * (height + 1) + top) * (width + 1) + left
    return cell * (PLACES * PLACES) + y * PLACES + z


@triton.jit
def joined_kernel(  # type: ignore[no-untyped-def]
    x, bias, beside, out, rows, height, width, channels, others,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """ReLU of the doubled map and, after its `channels`, the `others` of `beside`."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (row < rows)[:, None]
    ours = inside & (channel < channels)[None, :]
    theirs = inside & ((channel >= channels) & (channel < channels + others))[None, :]
    source = wide(place_of(row, height, width, 2, 2)) * channels
    value = tl.load(x + source + channel[None, :], mask=ours, other=0.0).to(tl.float32)
    value = leaky(value + tl.load(bias + channel, mask=channel < channels, other=0.0)[None, :], 0.0)
    other = tl.load(beside + wide(row) * others + (channel - channels)[None, :], mask=theirs, other=0.0).to(
        tl.float32
    )
    value = tl.where((channel < channels)[None, :], value, other)
    target = wide(row) * (channels + others) + channel[None, :]
    tl.store(out + target, value.to(out.dtype.element_ty), mask=ours | theirs)


@triton.jit
def pooled_kernel(  # type: ignore[no-untyped-def]
    x, bias, out, rows, width, channels, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Mean of 2 x 2 of the ReLU. `rows` and `width` are those of `out`."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    here = (row < rows)[:, None] & (channel < channels)[None, :]
    # the row above of a pair begins at twice the number of lines before it
    corner = (row // width) * 4 * width + (row % width) * 2
    added = tl.load(bias + channel, mask=channel < channels, other=0.0)[None, :]
    total = tl.zeros((ROWS, BLOCK), tl.float32)
    for k in tl.static_range(4):
        place = corner + (k // 2) * 2 * width + k % 2
        value = tl.load(x + wide(place) * channels + channel[None, :], mask=here, other=0.0)
        total += leaky(value.to(tl.float32) + added, 0.0)
    target = wide(row) * channels + channel[None, :]
    tl.store(out + target, (total * 0.25).to(out.dtype.element_ty), mask=here)


@triton.jit
def summed(  # type: ignore[no-untyped-def]
    x, bias, beside, shift, row, channel, here, channels, shifts, slope,
    BESIDE: tl.constexpr, SHIFT: tl.constexpr, BIAS: tl.constexpr,
):  # fmt: skip
    """Value of a residual sum in float32. `shifts` is the number of channels of `shift`, of which the
    last count."""
    place = row[:, None] * channels + channel[None, :]
    value = tl.load(x + place, mask=here, other=0.0).to(tl.float32)
    if BIAS:
        value += tl.load(bias + channel, mask=channel < channels, other=0.0)[None, :]
    if BESIDE:
        value += tl.load(beside + place, mask=here, other=0.0).to(tl.float32)
    if SHIFT:
        at = row[:, None] * shifts + (shifts - channels) + channel[None, :]
        value += tl.load(shift + at, mask=here, other=0.0).to(tl.float32)
        value = leaky(value, slope)
    return value


@triton.jit
def sums_kernel(  # type: ignore[no-untyped-def]
    x, bias, beside, shift, out, sums, pixels, channels, shifts, slope, splits,
    BESIDE: tl.constexpr, SHIFT: tl.constexpr, BIAS: tl.constexpr, WRITE: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A residual sum, written with WRITE, and for each frame, split and channel: its value at the first
    pixel, and the sums of the differences from it and of their squares. `sums` is (B, splits, 3, C).

    Differences from a value of the map keep the squares small, so that their sums lose no precision.
    """
    frame = tl.program_id(0) // splits
    split = tl.program_id(0) % splits
    first = frame.to(tl.int64) * pixels
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    known = channel < channels
    zero = tl.arange(0, 1) + first
    middle = summed(
        x, bias, beside, shift, zero, channel, known[None, :], channels, shifts, slope, BESIDE, SHIFT, BIAS
    )
    total = tl.zeros((BLOCK,), tl.float32)
    square = tl.zeros((BLOCK,), tl.float32)
    count = tl.cdiv(pixels, splits)
    for start in range(0, count, ROWS):
        inside = start + tl.arange(0, ROWS)
        pixel = split * count + inside
        here = ((inside < count) & (pixel < pixels))[:, None] & known[None, :]
        row = first + pixel
        value = summed(
            x, bias, beside, shift, row, channel, here, channels, shifts, slope, BESIDE, SHIFT, BIAS
        )
        if WRITE:
            place = row[:, None] * channels + channel[None, :]
            tl.store(out + place, value.to(out.dtype.element_ty), mask=here)
        away = tl.where(here, value - middle, 0.0)
        total += tl.sum(away, 0)
        square += tl.sum(away * away, 0)
    target = sums + tl.program_id(0).to(tl.int64) * 3 * channels + channel
    tl.store(target, tl.sum(middle, 0), mask=known)
    tl.store(target + channels, total, mask=known)
    tl.store(target + 2 * channels, square, mask=known)


@triton.jit
def modulated_kernel(  # type: ignore[no-untyped-def]
    x, sums, modulation, bias, out, height, width, channels, stride, slope, splits, tiles, epsilon,
    TIMES: tl.constexpr, SHIFT: tl.constexpr, SPLITS: tl.constexpr, TURNS: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """norm(x) scale, and with SHIFT the leaky ReLU of that plus the shift. `height` and `width` are those of
    `out`, `stride` is the number of channels of `modulation`. A program works on TURNS x ROWS pixels."""
    frame = (tl.program_id(0) // tiles).to(tl.int64)
    tile = tl.program_id(0) % tiles
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    known = channel < channels
    pixels = height * width
    small = pixels // (TIMES * TIMES)
    split = tl.arange(0, SPLITS)
    place = ((frame * splits + split) * 3 * channels)[:, None] + channel[None, :]
    there = (split < splits)[:, None] & known[None, :]
    total = tl.sum(tl.load(sums + place + channels, mask=there, other=0.0), 0) / small
    square = tl.sum(tl.load(sums + place + 2 * channels, mask=there, other=0.0), 0) / small
    middle = tl.load(sums + frame * splits * 3 * channels + channel, mask=known, other=0.0)
    mean = (middle + total)[None, :]
    factor = (1.0 / tl.sqrt(tl.maximum(square - total * total, 0.0) + epsilon))[None, :]
    scale_bias = tl.load(bias + channel, mask=known, other=0.0)[None, :]
    if SHIFT:
        shift_bias = tl.load(bias + channels + channel, mask=known, other=0.0)[None, :]
    for turn in range(TURNS):
        pixel = (tile * TURNS + turn) * ROWS + tl.arange(0, ROWS)
        here = (pixel < pixels)[:, None] & known[None, :]
        source = pixel
        if TIMES > 1:
            source = (pixel // width // TIMES) * (width // TIMES) + (pixel % width) // TIMES
        value = tl.load(
            x + (frame * small + source)[:, None] * channels + channel[None, :], mask=here, other=0.0
        ).to(tl.float32)
        row = (frame * pixels + pixel)[:, None]
        at = modulation + row * stride + channel[None, :]
        value = (value - mean) * factor
        value *= tl.load(at, mask=here, other=0.0).to(tl.float32) + scale_bias
        if SHIFT:
            value += tl.load(at + channels, mask=here, other=0.0).to(tl.float32) + shift_bias
            value = leaky(value, slope)
        tl.store(out + row * channels + channel[None, :], value.to(out.dtype.element_ty), mask=here)


@triton.jit
def colours_kernel(  # type: ignore[no-untyped-def]
    x, bias, out, rows, pixels, channels, BYTES: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Sigmoid of the first three of `channels`: (B, H, W, 3) uint8 with BYTES, or else (B, 3, H, W)."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    colour = tl.arange(0, 4)
    here = (row < rows)[:, None] & (colour < 3)[None, :]
    value = tl.load(x + wide(row) * channels + colour[None, :], mask=here, other=0.0).to(tl.float32)
    value += tl.load(bias + colour, mask=colour < 3, other=0.0)[None, :]
    value = 1.0 / (1.0 + tl.exp(-value))
    if BYTES:
        byte = (value * 255 + 0.5).to(tl.int32).to(tl.uint8)
        tl.store(out + row[:, None] * 3 + colour[None, :], byte, mask=here)
    else:
        target = ((row // pixels)[:, None] * 3 + colour[None, :]) * pixels + (row % pixels)[:, None]
        tl.store(out + target, value, mask=here)
