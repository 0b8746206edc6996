"""The FFHQ window is found in the square of every mode."""

from __future__ import annotations

import pytest

from sadtalker_service.engines.sadtalker.alignment.cropping import FaceCrop
from sadtalker_service.engines.sadtalker.enhancing.window import face_window

INSIDE = FaceCrop(1, (1000, 800), (280, 180, 520, 420), (20.4, 20.0, 220.4, 220.0))
"""A window of 200 at (300, 200), with 20 pixels around it."""
AT_THE_TOP = FaceCrop(1, (1000, 800), (280, 0, 520, 180), (20.0, 0.0, 220.0, 160.0))
"""A window of 200 with 40 pixels cut off by the upper image border."""


@pytest.mark.parametrize("mode", ["crop", "full"])
def test_square_of_the_window_equals_the_window(mode) -> None:
    assert face_window(INSIDE, mode) == (0.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize("mode", ["extcrop", "extfull"])
def test_wider_square_has_the_window_in_its_middle(mode) -> None:
    assert face_window(INSIDE, mode) == pytest.approx((20 / 240, 20 / 240, 220 / 240, 220 / 240))


def test_square_of_the_whole_image_has_the_window_at_the_face() -> None:
    assert face_window(INSIDE, "resize") == pytest.approx((0.3, 0.25, 0.5, 0.5))


def test_window_that_was_cut_off_is_restored() -> None:
    assert face_window(AT_THE_TOP, "full") == pytest.approx((0.0, -40 / 160, 1.0, 1.0))
    x0, y0, x1, y1 = face_window(AT_THE_TOP, "resize")
    assert ((x1 - x0) * 1000, (y1 - y0) * 800) == pytest.approx((200, 200))
    assert y0 * 800 == pytest.approx(-40)


def test_window_that_was_cut_off_on_both_sides_keeps_its_middle() -> None:
    crop = FaceCrop(1, (150, 400), (0, 80, 150, 320), (0.0, 20.0, 150.0, 220.0))
    x0, y0, x1, y1 = face_window(crop, "crop")
    assert (x0, x1) == pytest.approx((-25 / 150, 175 / 150))
    assert (y0, y1) == (0.0, 1.0)


@pytest.mark.parametrize(("limit", "expected"), [(300, (0.0, 1.25)), (301, (0.0, 1.0))])
def test_only_the_side_at_the_border_is_extended(limit: int, expected: tuple[float, float]) -> None:
    crop = FaceCrop(1, (limit, 800), (120, 180, 300, 420), (20.0, 20.0, 180.0, 220.0))
    x0, _, x1, _ = face_window(crop, "crop")
    assert (x0, x1) == pytest.approx(expected)
