"""The integer conversion against the formula of BT.709 in floating point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sadtalker_service.media.colour import rgb_to_yuv420

KR, KB = 0.2126, 0.0722


def reference(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float64], ...]:
    """Y, Cb, Cr of BT.709, limited range, chroma from the mean of each 2x2 square; not rounded."""
    r, g, b = np.moveaxis(rgb.astype(float), -1, 0)
    luma = KR * r + (1 - KR - KB) * g + KB * b

    def square(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return (x[::2, ::2] + x[::2, 1::2] + x[1::2, ::2] + x[1::2, 1::2]) / 4

    return (
        16 + 219 / 255 * luma,
        128 + 224 / 255 * square(b - luma) / (2 * (1 - KB)),
        128 + 224 / 255 * square(r - luma) / (2 * (1 - KR)),
    )


def convert(rgb: NDArray[np.uint8], padding: int = 0) -> tuple[NDArray[np.uint8], ...]:
    h, w = rgb.shape[:2]
    y = np.full((h, w + padding), 99, np.uint8)
    cb, cr = (np.full((h // 2, w // 2 + padding), 99, np.uint8) for _ in range(2))
    rgb_to_yuv420(rgb, y, cb, cr, 0, 0)
    assert (y[:, w:] == 99).all()
    assert (cb[:, w // 2 :] == 99).all()
    return y[:, :w], cb[:, : w // 2], cr[:, : w // 2]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 40), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_rounds_the_formula(half_h: int, half_w: int, padding: int, seed: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (2 * half_h, 2 * half_w, 3), dtype=np.uint8)
    for ours, exact in zip(convert(rgb, padding), reference(rgb), strict=True):
        assert np.abs(ours - exact).max() <= 0.502


@pytest.mark.parametrize(
    ("rgb", "yuv"),
    [
        ((255, 255, 255), (235, 128, 128)),
        ((0, 0, 0), (16, 128, 128)),
        ((255, 0, 0), (63, 102, 240)),
        ((0, 255, 0), (173, 42, 26)),
        ((0, 0, 255), (32, 240, 118)),
    ],
)
def test_known_colours(rgb: tuple[int, int, int], yuv: tuple[int, int, int]) -> None:
    picture = np.full((4, 4, 3), rgb, np.uint8)
    assert tuple(int(plane[0, 0]) for plane in convert(picture)) == yuv


@given(st.tuples(*[st.integers(0, 15)] * 2), st.tuples(*[st.integers(1, 15)] * 2), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_box_converts_as_it_does_inside_the_whole(
    corner: tuple[int, int], size: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x0, y0 = 2 * corner[0], 2 * corner[1]
    box = rng.integers(0, 256, (2 * size[1], 2 * size[0], 3), dtype=np.uint8)
    background = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    planes = convert(background)
    pasted = y, cb, cr = (np.array(planes[0]), np.array(planes[1]), np.array(planes[2]))
    rgb_to_yuv420(box, y, cb, cr, x0, y0)
    whole = background.copy()
    whole[y0 : y0 + box.shape[0], x0 : x0 + box.shape[1]] = box
    for ours, expected in zip(pasted, convert(whole), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_a_read_only_picture_is_accepted() -> None:
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb.flags.writeable = False
    assert int(convert(rgb)[0][0, 0]) == 16
