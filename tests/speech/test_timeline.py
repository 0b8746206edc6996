"""Timelines for faces that a browser draws."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.channels import INDEX
from sadtalker_service.engines.mesh.faceframe import RestMouth
from sadtalker_service.engines.mesh.motion.drive import drive
from sadtalker_service.options import RenderOptions
from sadtalker_service.speech.articulation import Articulation
from sadtalker_service.speech.timeline import Timeline, timeline
from sadtalker_service.speech.visemes import VISEMES

RATE = 100


def articulation(seconds: float, seed: int = 1) -> Articulation:
    """Shares that wander from one viseme to the next, two closures and a pause at the end."""
    ticks = round(seconds * RATE)
    rng = np.random.default_rng(seed)
    knots = rng.dirichlet(np.full(len(VISEMES), 0.15), ticks // 12 + 2)
    at = np.linspace(0, len(knots) - 1, ticks)
    shares = np.stack([np.interp(at, np.arange(len(knots)), column) for column in knots.T], axis=1)
    return Articulation(
        articulators=np.zeros((ticks, 8), np.float32),
        visemes=shares.astype(np.float32),
        closures=np.array([[0, 0.80, 0.86], [1, 1.50, 1.55]], np.float32),
        loudness=np.ones(ticks, np.float32),
        pauses=np.array([[seconds - 0.7, seconds]], np.float32),
        accents=np.zeros((0, 2), np.float32),
    )


def shares_at(made: Timeline, times: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Linear between the cues, as docs/browser-avatar.md says."""
    at = [cue.at for cue in made.cues]
    return {name: np.interp(times, at, [cue.shapes.get(name, 0.0) for cue in made.cues]) for name in VISEMES}


def test_lips_close_where_they_must_and_rest_in_pauses() -> None:
    made = timeline(articulation(6.0), 6.0)
    closed = shares_at(made, np.array([0.80, 0.83, 0.86]))
    assert closed["PP"].min() >= 0.95
    assert shares_at(made, np.array([1.52]))["FF"].min() >= 0.95
    assert shares_at(made, np.linspace(5.45, 5.85, 9))["sil"].min() >= 0.95
    assert shares_at(made, np.array([0.6, 1.2]))["PP"].max() < 0.9


def test_cues_are_few_and_shares_sum_to_one() -> None:
    made = timeline(articulation(6.0), 6.0)
    assert made.cues[0].at == 0.0
    assert made.cues[-1].at == pytest.approx(6.0, abs=0.02)
    assert all(a.at < b.at for a, b in zip(made.cues, made.cues[1:], strict=False))
    assert len(made.cues) < 0.6 * 6.0 * RATE
    for cue in made.cues:
        assert sum(cue.shapes.values()) == pytest.approx(1.0, abs=0.05)
        assert min(cue.shapes.values()) > 0.0
    still = articulation(3.0)
    still.visemes[:] = np.eye(len(VISEMES), dtype=np.float32)[VISEMES.index("sil")]
    still.closures.resize((0, 3), refcheck=False)
    assert [cue.shapes for cue in timeline(still, 3.0).cues] == [{"sil": 1.0}] * 2


def test_dominant_shape_is_that_of_the_sound() -> None:
    given = articulation(6.0)
    free = (np.arange(600) < 520) & (np.abs(np.arange(600) - 83) > 12) & (np.abs(np.arange(600) - 152) > 12)
    clear = free & (given.visemes.max(axis=1) > 0.6)
    shares = shares_at(timeline(given, 6.0), np.arange(600) / RATE)
    drawn = np.stack([shares[name] for name in VISEMES], axis=1)
    assert clear.sum() > 25
    assert (drawn.argmax(axis=1) == given.visemes.argmax(axis=1))[clear].all()
    assert drawn[clear].max(axis=1).min() > 0.6


def test_blinks_are_those_of_the_video() -> None:
    given = articulation(9.0)
    made = timeline(given, 9.0, seed=4)
    motion = drive(given, RestMouth(1.0, 50.0), RenderOptions(seed=4, still=True), 9.0)
    closure = motion.coefficients["controls"][:, INDEX["blink_right"]]
    closed = np.flatnonzero(closure > 0.99) / 25
    assert len(made.blinks) >= 2
    assert all(np.abs(closed - (begin + 0.10)).min() < 0.05 for begin in made.blinks)
    assert made.blinks == timeline(given, 9.0, seed=4).blinks != timeline(given, 9.0, seed=5).blinks
