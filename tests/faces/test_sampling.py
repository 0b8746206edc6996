"""Crops are those of OpenCV's 8-bit bilinear sampling: coordinates in 1/32 pixel, rounded half up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sadtalker_service.faces.sampling import Border, Square, into_picture, sample

PICTURE = np.random.default_rng(3).integers(0, 256, (23, 31, 3), dtype=np.uint8)


def sampled_one_by_one(matrix: NDArray[np.float64], size: int, border: Border) -> NDArray[np.uint8]:
    """The definition, in exact fractions of 1/1024."""
    crop = np.zeros((size, size, 3), np.uint8)
    height, width = PICTURE.shape[:2]
    for v in range(size):
        for u in range(size):
            x, y = (int(np.rint((m[0] * u + m[1] * v + m[2]) * 32)) for m in matrix)
            total = np.full(3, 512)
            for i, row_weight in ((y // 32, 32 - y % 32), (y // 32 + 1, y % 32)):
                for j, column_weight in ((x // 32, 32 - x % 32), (x // 32 + 1, x % 32)):
                    inside = 0 <= i < height and 0 <= j < width
                    colour = PICTURE[min(max(i, 0), height - 1), min(max(j, 0), width - 1)].astype(int)
                    if inside or border == "repeat":
                        total += row_weight * column_weight * colour
            crop[v, u] = total // 1024
    return crop


@settings(max_examples=30, deadline=None)
@given(
    st.builds(Square, st.floats(-10, 40), st.floats(-10, 40), st.floats(1, 60), st.floats(-4, 4)),
    st.sampled_from(["black", "repeat"]),
)
def test_crop_is_what_the_definition_says(square: Square, border: Border) -> None:
    matrix = square.matrix(7)
    assert np.array_equal(sample(PICTURE, matrix, 7, border), sampled_one_by_one(matrix, 7, border))


def test_square_over_whole_pixels_copies_them() -> None:
    assert np.array_equal(sample(PICTURE, Square(14, 10, 12).matrix(12), 12, "black"), PICTURE[4:16, 8:20])


def test_outside_is_black_or_repeats_the_border() -> None:
    far = Square(-100, -100, 20).matrix(5)
    assert not sample(PICTURE, far, 5, "black").any()
    assert np.array_equal(sample(PICTURE, far, 5, "repeat"), np.broadcast_to(PICTURE[0, 0], (5, 5, 3)))


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.0])
def test_corners_and_centre_of_a_crop_lie_on_its_square(angle: float) -> None:
    square = Square(50, 40, 20, angle)
    corners = into_picture(
        square.matrix(8), np.array([[0.0, 0.0], [8.0, 0.0], [8.0, 8.0], [0.0, 8.0], [4.0, 4.0]])
    )
    assert corners[4] == pytest.approx([50, 40])
    assert np.linalg.norm(corners[:4] - corners[4], axis=1) == pytest.approx(20 / np.sqrt(2))
    right = corners[1] - corners[0]
    assert np.arctan2(right[1], right[0]) == pytest.approx(angle)
