"""Curves that bound an opening."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.kernels.contour import ENTRIES, clamp01, fill_curve, height_at


def curve(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float32]:
    table = np.full(ENTRIES, np.nan, np.float32)
    fill_curve(np.array(x, np.float32), np.array(y, np.float32), table)
    return table


def test_curve_passes_through_its_points() -> None:
    x = np.arange(6) * 19.0 - 40.0  # 19 entries apart: each point falls on an entry
    y = np.array([0.0, 3.0, -1.0, 4.0, 2.0, 0.5])
    assert curve(x, y)[:: (ENTRIES - 1) // 5] == pytest.approx(y, abs=1e-5)


def test_a_straight_line_stays_straight_at_uneven_points() -> None:
    x = np.array([-10.0, -9.5, -4.0, 0.1, 0.2, 7.0, 12.0])
    at = np.linspace(-10.0, 12.0, ENTRIES)
    assert curve(x, 3.0 - 0.25 * x) == pytest.approx(3.0 - 0.25 * at, abs=1e-4)


def test_a_smooth_arc_is_followed_between_the_points() -> None:
    x = np.linspace(-20.0, 20.0, 9)
    at = np.linspace(-20.0, 20.0, ENTRIES)
    assert np.abs(curve(x, 5.0 * np.cos(x / 14.0)) - 5.0 * np.cos(at / 14.0)).max() < 0.06


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-30, 30, width=32), min_size=9, max_size=9), st.integers(0, 2**32 - 1))
def test_points_that_run_backwards_give_a_finite_curve_between_the_same_ends(
    xs: list[float], seed: int
) -> None:
    y = np.random.default_rng(seed).uniform(-5.0, 5.0, 9)
    table = curve(np.array(xs), y)
    assert np.isfinite(table).all()
    assert table[0] == pytest.approx(y[0], abs=1e-5)
    assert table[-1] == pytest.approx(y[-1], abs=1.0)  # the last step may be a tenth of a micrometre wide


def test_height_is_that_of_the_entries_at_both_ends_and_linear_between() -> None:
    table = (np.arange(ENTRIES) ** 2).astype(np.float32)
    for k in (0, 1, 50, ENTRIES - 2):
        assert height_at(table, np.float32(k)) == table[k]
    assert height_at(table, np.float32(ENTRIES - 1)) == table[-1]
    assert height_at(table, np.float32(50.25)) == pytest.approx(0.75 * table[50] + 0.25 * table[51])


@pytest.mark.parametrize(("value", "kept"), [(-3.0, 0.0), (0.0, 0.0), (0.25, 0.25), (1.0, 1.0), (9.0, 1.0)])
def test_clamp_keeps_to_the_unit_interval(value: float, kept: float) -> None:
    assert clamp01(np.float32(value)) == kept
