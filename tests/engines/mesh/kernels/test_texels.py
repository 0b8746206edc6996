"""Texels: the source at twice its resolution, exact where the source has a pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.kernels.texels import PAD, pack


def channels(texels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """uint32 (h, w, 4): the four bytes, R, G, B and the unused one."""
    return np.stack([(texels >> np.uint32(8 * k)) & np.uint32(0xFF) for k in range(4)], axis=-1)


def ramp(height: int, width: int, step_x: int, step_y: int) -> NDArray[np.uint8]:
    """uint8 (height, width, 3): a plane, higher by 7 in green, falling in blue."""
    y, x = np.mgrid[:height, :width]
    plane = 60 + step_x * x + step_y * y
    return np.stack([plane, plane + 7, 255 - plane], axis=-1).astype(np.uint8)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_every_second_texel_is_a_pixel_of_the_source(height: int, width: int, seed: int) -> None:
    values = np.array([0, 1, 127, 128, 254, 255], np.uint8)
    pixels = np.random.default_rng(seed).choice(values, (height, width, 3))
    texels = channels(pack(pixels))
    assert texels.shape == (2 * height + 2 * PAD, 2 * width + 2 * PAD, 4)
    assert np.array_equal(texels[PAD : PAD + 2 * height : 2, PAD : PAD + 2 * width : 2, :3], pixels)
    assert not texels[..., 3].any()  # no overshoot leaks into the next channel


@pytest.mark.parametrize(("step_x", "step_y"), [(2, 0), (0, 2), (2, 2), (4, -1), (-2, 6)])
def test_texels_between_pixels_of_a_ramp_are_exactly_half_way(step_x: int, step_y: int) -> None:
    inner = channels(pack(ramp(14, 16, step_x, step_y)))[PAD:-PAD, PAD:-PAD, :3].astype(float)
    y, x = np.mgrid[:28, :32] / 2
    plane = 60 + step_x * x + step_y * y
    expected = np.stack([plane, plane + 7, 255 - plane], axis=-1)
    away = np.s_[6:-6, 6:-6]  # three pixels from the border all six taps are inside
    whole = expected[away] == np.round(expected[away])
    assert np.array_equal(inner[away][whole], expected[away][whole])
    assert np.abs(inner[away] - expected[away]).max() <= 0.5


def test_the_border_is_repeated_outwards() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    texels = pack(pixels)
    inner = texels[PAD:-PAD, PAD:-PAD]
    assert np.array_equal(texels, np.pad(inner, PAD, mode="edge"))


def test_a_flat_picture_stays_flat() -> None:
    pixels = np.full((7, 5, 3), (3, 128, 252), np.uint8)
    assert np.array_equal(np.unique(channels(pack(pixels)).reshape(-1, 4), axis=0), [[3, 128, 252, 0]])


def test_a_sharp_edge_is_sharper_than_its_linear_interpolation() -> None:
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[:, 5:7] = 200
    between = int(channels(pack(pixels))[PAD, 2 * 5 + 1 + PAD, 0])
    assert between > 200  # a line two pixels wide keeps its middle: Lanczos overshoots, tents do not
