"""Long recordings are cut where it is quiet."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sadtalker_service.domain import SPEECH_RATE
from sadtalker_service.speech.chunks import cut_at_pauses


@settings(max_examples=30, deadline=None)
@given(samples=st.integers(0, 100 * SPEECH_RATE))
def test_pieces_cover_everything_once(samples: int) -> None:
    pieces = cut_at_pauses(np.random.default_rng(samples).standard_normal(samples).astype(np.float32))
    assert pieces[0][0] == 0
    assert pieces[-1][1] == samples
    assert all(a[1] == b[0] for a, b in pairwise(pieces))
    assert max(b - a for a, b in pieces) <= 20 * SPEECH_RATE
    assert len(pieces) == 1 or min(b - a for a, b in pieces) >= 5 * SPEECH_RATE


def test_cuts_are_in_the_pauses() -> None:
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(60 * SPEECH_RATE)).astype(np.float32)
    for second in (12, 27, 44):
        samples[second * SPEECH_RATE : (second + 1) * SPEECH_RATE] *= 0.01
    cuts = [end / SPEECH_RATE for _, end in cut_at_pauses(samples)[:-1]]
    assert len(cuts) == 3
    for cut, second in zip(cuts, (12, 27, 44), strict=True):
        assert second < cut < second + 1


def test_a_short_recording_is_not_cut() -> None:
    assert cut_at_pauses(np.zeros(15 * SPEECH_RATE, np.float32)) == [(0, 15 * SPEECH_RATE)]
