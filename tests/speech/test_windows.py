"""A recording that comes in pieces gives the same lips as one that comes whole, and sooner."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Motion, Speech, Track
from sadtalker_service.engines.mesh.faceframe import RestMouth
from sadtalker_service.engines.mesh.kernels.scene import YAW
from sadtalker_service.engines.mesh.motion.drive import drive_windows
from sadtalker_service.options import RenderOptions
from sadtalker_service.speech.articulation import Articulation, joined
from sadtalker_service.speech.listening import articulation_windows
from sadtalker_service.speech.phonemes import PhonemeSource
from sadtalker_service.speech.recogniser import PocketsphinxRecogniser
from sadtalker_service.speech.signal_source import SignalSource

ARRAYS = ("articulators", "visemes", "closures", "loudness", "pauses", "accents")
MOUTH = RestMouth(1.0, 50.0)
STYLE = RenderOptions(seed=3)


def in_pieces(samples: NDArray[np.float32], sizes: Iterator[int]) -> Iterator[NDArray[np.float32]]:
    """The samples, cut into pieces of these sizes."""
    at = 0
    while at < len(samples):
        size = next(sizes)
        yield samples[at : at + size]
        at += size


def same(size: int) -> Iterator[int]:
    while True:
        yield size


def any_size(seed: int) -> Iterator[int]:
    """From nothing at all to two seconds."""
    rng = np.random.default_rng(seed)
    while True:
        yield int(rng.integers(0, 2 * SPEECH_RATE) * rng.random() ** 3)


def motion_of(pieces: Iterator[NDArray[np.float32]], source: PhonemeSource) -> NDArray[np.float32]:
    windows = drive_windows(articulation_windows(pieces, source), MOUTH, STYLE, None)
    return Motion.joined(windows).coefficients["controls"]


def test_the_cut_of_the_sound_does_not_change_the_motion(
    recogniser: PocketsphinxRecogniser, example: Speech
) -> None:
    samples = example.samples[: int(2.6 * SPEECH_RATE)]
    whole = motion_of(iter([samples]), recogniser)
    assert len(whole) == 65
    assert np.ptp(whole[:, 0]) > 0.3, "the jaw moves"
    for sizes in (same(SPEECH_RATE // 50), any_size(1)):
        assert np.array_equal(motion_of(in_pieces(samples, sizes), recogniser), whole)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), seconds=st.floats(0.05, 12.0))
def test_no_cut_of_any_length_of_sound_changes_anything(seed: int, seconds: float) -> None:
    samples = babble(seconds)
    if seed % 2:  # a fan is switched on
        hiss = np.random.default_rng(seed).standard_normal(len(samples) - len(samples) // 3)
        samples[len(samples) // 3 :] += 0.02 * hiss.astype(np.float32)
    once = [w.to_artefact() for w in articulation_windows(iter([samples]), SignalSource())]
    cut = in_pieces(samples, any_size(seed))
    again = [w.to_artefact() for w in articulation_windows(cut, SignalSource())]
    assert len(once) == len(again)
    for a, b in zip(once, again, strict=True):
        assert a.record == b.record
        for name in ARRAYS:
            assert np.array_equal(a.arrays[name], b.arrays[name])


@pytest.mark.parametrize("seconds", [0.0, 0.004, 0.5, 1.2, 1.9, 3.21, 31.0])
def test_windows_follow_each_other_without_gap_up_to_the_end(seconds: float) -> None:
    samples = babble(seconds)
    windows = list(articulation_windows(iter([samples]), SignalSource()))
    assert windows[0].begin == 0
    for before, after in pairwise(windows):
        assert before.begin + len(before.articulators) == after.begin
        assert before.end is None
    ticks = max(1, int(np.ceil(len(samples) / 160)))
    assert windows[-1].begin + len(windows[-1].articulators) == ticks
    assert windows[-1].end == len(samples) / SPEECH_RATE
    closures = np.concatenate([w.closures for w in windows])
    assert (np.diff(closures[:, 1:].mean(axis=1)) > 0).all(), "in order, none twice"
    accents = np.concatenate([w.accents for w in windows])
    assert (np.diff(accents[:, 0]) > 0.3).all()


def test_the_first_motion_needs_no_more_than_the_sound_that_decides_it() -> None:
    taken: list[int] = []

    def noted(samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        for piece in in_pieces(samples, same(1600)):
            taken.append(len(piece))
            yield piece

    windows = articulation_windows(noted(babble(40.0)), SignalSource())
    first = next(windows)
    assert len(first.articulators) == 85
    assert sum(taken) <= 6.5 * SPEECH_RATE
    rest = list(windows)
    assert sum(taken) == 40 * SPEECH_RATE
    assert max(len(w.articulators) for w in rest) <= 1800, "memory does not grow with the length"


def test_an_artefact_of_each_window_is_enough_to_go_on_from() -> None:
    windows = list(articulation_windows(iter([babble(5.0)]), SignalSource()))
    kept = [Articulation.from_artefact(w.to_artefact()) for w in windows]
    a, b = joined(windows), joined(kept)
    assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ARRAYS)
    before, after = (Motion.joined(drive_windows(iter(w), MOUTH, STYLE, None)) for w in (windows, kept))
    assert np.array_equal(before.coefficients["controls"], after.coefficients["controls"])


def test_tracks_of_angles_run_over_all_windows() -> None:
    style = RenderOptions(input_yaw=Track((0.0, 8.0, -8.0)), still=True)
    samples = babble(9.0)
    windows = drive_windows(articulation_windows(iter([samples]), SignalSource()), MOUTH, style, 9.0)
    yaw = np.degrees(Motion.joined(windows).coefficients["controls"][:, YAW])
    assert len(yaw) == 225
    assert yaw[112] == pytest.approx(8.0, abs=0.6)
    assert yaw[-1] == pytest.approx(-8.0, abs=0.8)
    assert np.abs(np.diff(yaw)).max() < 0.5, "no jump between windows"


def babble(seconds: float) -> NDArray[np.float32]:
    """Vowels of a synthetic voice with pauses, float32 (N,)."""
    t = np.arange(round(seconds * SPEECH_RATE)) / SPEECH_RATE
    pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / SPEECH_RATE
    shape = 0.5 + 0.5 * np.sin(2 * np.pi * 2.1 * t)
    tone = sum(np.sin(k * pitch) / k ** (1 + shape) for k in range(1, 20)) if len(t) else t
    syllables = np.clip(np.sin(2 * np.pi * 3.3 * t) + 0.6, 0, 1) * (np.sin(2 * np.pi * 0.23 * t) > -0.6)
    return np.asarray(0.1 * tone * syllables, np.float32)
