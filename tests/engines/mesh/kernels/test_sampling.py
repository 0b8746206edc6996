"""The fast samples, four channels at once, against the arithmetic that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.kernels.sampling import blend, darkened, put, sample
from sadtalker_service.engines.mesh.kernels.texels import pack

FRACTIONS = 256
"""Of u and v together, in sixteenths."""


@njit(nogil=True)
def samples(
    texels: NDArray[np.uint32], at: NDArray[np.int64], out: NDArray[np.uint32], single: NDArray[np.uint64]
) -> None:
    """Sample at n points (u, v) in 16.16 fixed point, in both ways."""
    for n in range(len(at)):
        u, v = at[n, 0], at[n, 1]
        i, j = v >> 16, u >> 16
        out[n] = sample(texels, u, v)
        single[n] = blend(texels[i, j], texels[i, j + 1], texels[i + 1, j], texels[i + 1, j + 1], u, v)


@njit(nogil=True)
def shades(texels: NDArray[np.uint32], shade: NDArray[np.uint16], out: NDArray[np.uint8]) -> None:
    """Write texels, each with its shade, one after the other from byte 1 on."""
    for n in range(len(texels)):
        put(out, 1 + 4 * n, darkened(texels[n], shade[n]))


def channels(texels: NDArray[np.uint32]) -> NDArray[np.int64]:
    """int64 (n, 3)."""
    return np.stack([(texels >> np.uint32(8 * c)) & np.uint32(255) for c in range(3)], axis=-1).astype(
        np.int64
    )


@pytest.mark.parametrize("values", [(0, 255), (0, 1, 127, 128, 254, 255)])
def test_a_sample_is_the_weighted_mean_of_its_neighbours_rounded(values: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(values))
    pixels = rng.choice(np.array(values, np.uint8), (9, 11, 3))
    texels = pack(pixels)
    whole = rng.integers(0, np.array(texels.shape[::-1]) - 1, (8 * FRACTIONS, 2))
    fraction = np.stack(np.divmod(np.arange(8 * FRACTIONS) % FRACTIONS, 16), axis=-1)
    at = (whole << 16) + (fraction << 12) + rng.integers(0, 4096, whole.shape)
    out, single = np.empty(len(at), np.uint32), np.empty(len(at), np.uint64)
    samples(texels, at, out, single)
    (j, i), (fx, fy) = whole.T, fraction.T[..., None]
    upper = channels(texels[i, j]) * (16 - fx) + channels(texels[i, j + 1]) * fx
    lower = channels(texels[i + 1, j]) * (16 - fx) + channels(texels[i + 1, j + 1]) * fx
    expected = (upper * (16 - fy) + lower * fy + 128) >> 8
    assert np.array_equal(channels(out), expected)
    assert not (out >> np.uint32(24)).any()
    lanes = np.stack([(single >> np.uint64(16 * c)) & np.uint64(255) for c in range(3)], axis=-1)
    assert np.array_equal(lanes, expected.astype(np.uint64))


def test_a_shade_multiplies_every_channel_and_touches_no_other_byte() -> None:
    level, shade = (m.ravel() for m in np.meshgrid(np.arange(256), np.arange(257)))
    texels = (level | (255 - level) << 8 | (level // 2) << 16).astype(np.uint32)
    out = np.full(4 * len(texels) + 6, 77, np.uint8)
    shades(texels, shade.astype(np.uint16), out)
    expected = (channels(texels) * shade[:, None] + 128) >> 8
    assert np.array_equal(out[1:-5].reshape(-1, 4)[:, :3], expected)
    assert out[0] == 77
    assert (out[-5:] == 77).all()
