"""Triton kernels of the dense motion. Importing this needs Triton."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def coordinate(cell, size):  # type: ignore[no-untyped-def]
    """-1 at the first of `size` cells, 1 at the last."""
    return 2.0 * cell.to(tl.float32) / (size - 1) - 1.0


@triton.jit
def corner_share(place, cell):  # type: ignore[no-untyped-def]
    """Share of a cell in the value between two cells."""
    return 1.0 - tl.abs(place - cell)


@triton.jit
def gathered(  # type: ignore[no-untyped-def]
    volume, x, y, z, channel, here, depth, height, width, channels,
):  # fmt: skip
    """Trilinear value of (D, H, W, C) float at positions -1..1, zero outside.

    As in `networks.dense_motion.sample`, -1 and 1 are read as the outer edges of the outermost cells.
    """
    x = ((x + 1.0) * width - 1.0) * 0.5
    y = ((y + 1.0) * height - 1.0) * 0.5
    z = ((z + 1.0) * depth - 1.0) * 0.5
    left = tl.floor(x)
    top = tl.floor(y)
    front = tl.floor(z)
    total = tl.zeros_like(x + channel.to(tl.float32))
    for k in tl.static_range(8):
        i = left + k % 2
        j = top + (k // 2) % 2
        d = front + k // 4
        inside = (i >= 0) & (i < width) & (j >= 0) & (j < height) & (d >= 0) & (d < depth)
        share = corner_share(x, i) * corner_share(y, j) * corner_share(z, d)
        cell = (d.to(tl.int32) * height + j.to(tl.int32)) * width + i.to(tl.int32)
        value = tl.load(volume + cell * channels + channel, mask=here & inside, other=0.0)
        total += tl.where(inside, share, 0.0) * value.to(tl.float32)
    return total


@triton.jit
def blob(points, number, x, y, z, here, spread):  # type: ignore[no-untyped-def]
    """1 at a keypoint, less around it."""
    a = x - tl.load(points + number * 3, mask=here, other=0.0)
    b = y - tl.load(points + number * 3 + 1, mask=here, other=0.0)
    c = z - tl.load(points + number * 3 + 2, mask=here, other=0.0)
    return tl.exp((a * a + b * b + c * c) * (-0.5 / spread))


@triton.jit
def hints_kernel(  # type: ignore[no-untyped-def]
    compressed, keypoints, driving, owners, out, depth, height, width, spread,
    SLOTS: tl.constexpr, CHANNELS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """(B, D, h, w, SLOTS (1 + CHANNELS)): see `Steps.hints`. Axis 1 of the grid is the frame."""
    frame = tl.program_id(1).to(tl.int64)
    owner = tl.load(owners + frame).to(tl.int64)
    voxels = depth * height * width
    voxel = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    wide: tl.constexpr = SLOTS * (1 + CHANNELS)
    element = tl.arange(0, BLOCK)[None, :]
    slot = element // (1 + CHANNELS)
    channel = element % (1 + CHANNELS)
    here = (voxel < voxels) & (element < wide)
    x = coordinate(voxel % width, width)
    y = coordinate((voxel // width) % height, height)
    z = coordinate(voxel // (width * height), depth)
    points = keypoints + owner * (SLOTS - 1) * 3
    targets = driving + frame * (SLOTS - 1) * 3
    moves = (slot > 0) & (element < wide)
    number = tl.where(moves, slot - 1, 0)
    dx = tl.load(points + number * 3, mask=moves, other=0.0)
    dx -= tl.load(targets + number * 3, mask=moves, other=0.0)
    dy = tl.load(points + number * 3 + 1, mask=moves, other=0.0)
    dy -= tl.load(targets + number * 3 + 1, mask=moves, other=0.0)
    dz = tl.load(points + number * 3 + 2, mask=moves, other=0.0)
    dz -= tl.load(targets + number * 3 + 2, mask=moves, other=0.0)
    moved = gathered(
        compressed + owner * voxels * CHANNELS, x + dx, y + dy, z + dz, tl.maximum(channel - 1, 0),
        here & (channel > 0), depth, height, width, CHANNELS,
    )  # fmt: skip
    heat = blob(targets, number, x, y, z, moves, spread) - blob(points, number, x, y, z, moves, spread)
    value = tl.where(channel > 0, moved, tl.where(moves, heat, 0.0))
    place = (frame * voxels + voxel) * wide + element
    tl.store(out + place, value.to(out.dtype.element_ty), mask=here)


@triton.jit
def deformation_kernel(  # type: ignore[no-untyped-def]
    x, bias, keypoints, driving, owners, out, depth, height, width, negligible,
    SLOTS: tl.constexpr, TAPS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """(B, D, h, w, 3): see `Steps.deformation`. Axis 1 of the grid is the frame."""
    frame = tl.program_id(1).to(tl.int64)
    owner = tl.load(owners + frame).to(tl.int64)
    plane = height * width
    voxels = depth * plane
    voxel = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    slot = tl.arange(0, SLOTS)
    layer = voxel // plane
    logits = tl.zeros((ROWS, SLOTS), tl.float32) + tl.load(bias + slot)[None, :]
    for t in tl.static_range(TAPS):
        away = t - TAPS // 2
        inside = (voxel < voxels) & (layer + away >= 0) & (layer + away < depth)
        place = (frame * voxels + voxel + away * plane) * (TAPS * SLOTS) + t * SLOTS
        found = tl.load(x + place[:, None] + slot[None, :], mask=inside[:, None], other=0.0)
        logits += found.to(tl.float32)
    share = tl.exp(logits - tl.max(logits, 1)[:, None])
    share = share / tl.sum(share, 1)[:, None]
    share = tl.where(share > negligible, share, 0.0)
    total = tl.sum(share, 1)
    moves = slot > 0
    number = tl.where(moves, slot - 1, 0)
    across = coordinate(voxel % width, width)
    down = coordinate((voxel // width) % height, height)
    inwards = coordinate(layer, depth)
    target = out + (frame * voxels + voxel) * 3
    for axis in tl.static_range(3):
        move = tl.load(keypoints + owner * (SLOTS - 1) * 3 + number * 3 + axis, mask=moves, other=0.0)
        move -= tl.load(driving + frame * (SLOTS - 1) * 3 + number * 3 + axis, mask=moves, other=0.0)
        here = across if axis == 0 else (down if axis == 1 else inwards)
        mean = tl.sum(share * move[None, :], 1) + total * here
        tl.store(target + axis, mean, mask=voxel < voxels)


@triton.jit
def warped_kernel(  # type: ignore[no-untyped-def]
    volume, grid, owners, out, depth, height, width,
    CHANNELS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """(B, h, w, D CHANNELS): the moved source. Axis 1 of the grid is the frame."""
    frame = tl.program_id(1).to(tl.int64)
    owner = tl.load(owners + frame).to(tl.int64)
    plane = height * width
    voxels = depth * plane
    voxel = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    known = voxel < voxels
    channel = tl.arange(0, BLOCK)[None, :]
    here = known & (channel < CHANNELS)
    # neighbours in depth are neighbours in the result
    layer = voxel % depth
    pixel = voxel // depth
    at = grid + (frame * voxels + layer * plane + pixel) * 3
    x = tl.load(at, mask=known, other=0.0)
    y = tl.load(at + 1, mask=known, other=0.0)
    z = tl.load(at + 2, mask=known, other=0.0)
    value = gathered(
        volume + owner * voxels * CHANNELS, x, y, z, channel, here, depth, height, width, CHANNELS
    )
    place = (frame * voxels + voxel) * CHANNELS + channel
    tl.store(out + place, value.to(out.dtype.element_ty), mask=here)


@triton.jit
def visible_kernel(  # type: ignore[no-untyped-def]
    x, bias, out, height, width, channels, TAPS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """(B, h, w): sigmoid of the sum of the shifted products. Axis 1 of the grid is the frame."""
    frame = tl.program_id(1).to(tl.int64)
    pixel = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    tap = tl.arange(0, BLOCK)[None, :]
    down = pixel // width - tap // TAPS + TAPS // 2
    across = pixel % width - tap % TAPS + TAPS // 2
    inside = (down >= 0) & (down < height) & (across >= 0) & (across < width)
    here = inside & (tap < TAPS * TAPS) & (pixel < height * width)
    place = (frame * height * width + down * width + across) * channels + tap
    found = tl.load(x + place, mask=here, other=0.0).to(tl.float32)
    total = tl.sum(found, 1) + tl.load(bias)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    target = out + frame * height * width + row
    tl.store(target, 1.0 / (1.0 + tl.exp(-total)), mask=row < height * width)
