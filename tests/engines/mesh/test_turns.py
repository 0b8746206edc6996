"""The head turns quickly and holds, whatever windows the sound comes in."""

from __future__ import annotations

import numpy as np
import pytest

from sadtalker_service.engines.mesh.motion.head import HeadMotion, head_style
from sadtalker_service.engines.mesh.motion.signals import RATE
from sadtalker_service.engines.mesh.motion.turns import Turns


def turns(seed: int = 1, pace: float = 1.0) -> Turns:
    return Turns(np.random.default_rng(seed), pace)


def test_directions_have_unit_size() -> None:
    source = turns()
    long = np.concatenate([source.take(1_000, []) for _ in range(200)])
    assert long.std(axis=0) == pytest.approx([1.0, 1.0, 1.0], abs=0.12)
    assert np.abs(long.mean(axis=0)).max() < 0.1


def test_a_turn_is_quick_and_then_held() -> None:
    yaw = turns().take(60 * RATE, [])[:, 1]
    moving = np.abs(np.diff(yaw)) * RATE > 0.05
    assert 0.08 < moving.mean() < 0.3
    edges = np.flatnonzero(np.diff(moving.astype(int)))
    begins = edges[1:] if moving[0] else edges
    lengths = np.diff(begins)[::2] / RATE
    assert lengths.min() > 0.15
    assert lengths.max() <= 0.5


def test_turns_come_with_the_accents_that_are_near() -> None:
    free = turns().take(20 * RATE, [])[:, 1]
    first = float(np.flatnonzero(np.abs(free) > 1e-9)[0]) / RATE
    accent = first + 0.4
    moved = turns().take(20 * RATE, [accent])[:, 1]
    start = float(np.flatnonzero(np.abs(moved) > 1e-9)[0]) / RATE
    assert start == pytest.approx(accent - 0.12, abs=0.03)


def test_the_windows_do_not_change_the_motion() -> None:
    accents = np.arange(0.7, 30.0, 1.3)
    whole = turns().take(30 * RATE, list(accents))
    for sizes in ([8] * 375, [130, 300, 1000, 1570]):
        source, parts, tick = turns(), [], 0
        for size in sizes:
            known = [at for at in accents if tick / RATE - 1.0 < at < (tick + size) / RATE + 0.6]
            tick += size
            parts.append(source.take(size, known))
        assert np.array_equal(np.concatenate(parts), whole)


def test_a_speaking_head_moves_as_much_as_a_real_one_and_less_in_silence() -> None:
    """Of yaw about two thirds are seen, as a source image has no other side."""
    spread = []
    for loud in (0.8, 0.0):
        clips = []
        for seed in range(20):
            head = HeadMotion([np.random.default_rng([seed, i]) for i in range(10)], head_style(0))
            clips.append(np.degrees(head.take(np.full(20 * RATE, loud))[:, :3]))
        spread.append(np.std(clips, axis=(0, 1)))
    speaking, silent = spread
    assert speaking == pytest.approx([4.1, 12.5, 3.8], rel=0.15)
    assert (silent < 0.55 * speaking).all()


def test_the_shoulders_follow_the_head_less_and_later() -> None:
    lags, shares = [], []
    for seed in range(8):
        head = HeadMotion([np.random.default_rng([seed, i]) for i in range(10)], head_style(0))
        body = head.take(np.full(30 * RATE, 0.8))
        shift, shoulders = body[:, 3], body[:, 5]
        shares.append(shoulders.std() / shift.std())
        fits = [np.corrcoef(shift[: len(shift) - lag], shoulders[lag:])[0, 1] for lag in range(0, 100, 5)]
        lags.append(5 * int(np.argmax(fits)) / RATE)
    assert 0.12 < np.mean(shares) < 0.35
    assert 0.2 < np.mean(lags) < 0.6
