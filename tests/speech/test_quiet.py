"""Silence is found by its level, and shuts the mouth whatever was recognised in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.speech.articulation import joined
from sadtalker_service.speech.closing import rest_in_silence
from sadtalker_service.speech.listening import articulation_windows
from sadtalker_service.speech.phonemes import PhonemeSource
from sadtalker_service.speech.quiet import QuietStretches, united
from sadtalker_service.speech.visemes import ARTICULATORS

OPENING = ARTICULATORS.index("opening")


def curve(*parts: tuple[float, float]) -> NDArray[np.float32]:
    """Loudness: (seconds, value) each."""
    return np.concatenate([np.full(round(100 * s), v, np.float32) for s, v in parts])


def found(loudness: NDArray[np.float32], sizes: Iterator[int]) -> NDArray[np.float32]:
    stretches, at, rows = QuietStretches(), 0, []
    while at < len(loudness):
        size = next(sizes)
        rows.append(stretches.add(loudness[at : at + size]))
        at += size
    out = np.zeros((0, 2), np.float32)
    for row in rows:
        out = united(out, row)
    return out


def test_only_long_quiet_is_silence_wherever_windows_end() -> None:
    loudness = curve((1.0, 0.8), (0.6, 0.1), (1.0, 0.6), (2.0, 0.05), (1.0, 0.9), (1.4, 0.0))
    wanted = [[2.6, 4.6], [5.6, 7.0]]
    assert found(loudness, iter([len(loudness)])) == pytest.approx(np.array(wanted))
    assert found(loudness, iter([300, 120, 280])) == pytest.approx(np.array(wanted))
    short = found(curve((1.0, 0.8), (0.5, 0.1), (1.0, 0.8)), iter([150, 100]))
    assert len(short) == 1, "its length is not known at the end of the window"


def test_nothing_said_at_all_is_one_silence() -> None:
    assert found(np.zeros(500, np.float32), iter([0, 200, 300])) == pytest.approx(np.array([[0.0, 5.0]]))
    assert found(np.ones(50, np.float32), iter([50])).size == 0


def test_overlapping_stretches_become_one() -> None:
    a, b = np.float32([[0, 1], [3, 4]]), np.float32([[0.5, 2], [6, 7]])
    assert united(a, b).tolist() == [[0, 2], [3, 4], [6, 7]]
    assert united(a[:0], b[:0]).shape == (0, 2)


def test_a_mouth_shuts_within_half_a_second_and_opens_again_in_time() -> None:
    motion = np.full((400, len(ARTICULATORS)), 6.0, np.float32)
    rest_in_silence(motion, np.float32([[1.0, 3.0]]), 4.0)
    opening = motion[:, OPENING]
    assert opening[:110] == pytest.approx(6.0)
    assert opening[146:280] == pytest.approx(0.0, abs=1e-5)
    assert opening[300:] == pytest.approx(6.0)


@pytest.mark.parametrize(
    "hiss", [-50.0, *(pytest.param(level, marks=pytest.mark.slow) for level in (None, -70.0))]
)
def test_the_mouth_is_shut_in_a_pause_of_four_seconds(
    recogniser: PhonemeSource, example: Speech, hiss: float | None
) -> None:
    """Digital silence and two levels of hiss between two sentences."""
    words = example.samples[: 2 * SPEECH_RATE]
    pause = np.zeros(4 * SPEECH_RATE, np.float32)
    if hiss is not None:
        pause += np.random.default_rng(1).standard_normal(len(pause)).astype(np.float32) * 10 ** (hiss / 20)
    sound = np.concatenate([words, pause, words])
    opening = joined(articulation_windows(iter([sound]), recogniser)).articulators[:, OPENING]
    assert opening[:200].max() > 4.0
    assert opening[270:560].max() < 1.0
    assert opening[600:].max() > 4.0
