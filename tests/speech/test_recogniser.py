"""What pocketsphinx hears, and that it hears the same every time and everywhere."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.speech.phonemes import SILENCE, Phoneme, PhonemeTrack
from sadtalker_service.speech.recogniser import PocketsphinxRecogniser
from sadtalker_service.speech.visemes import visemes_of

WORDS = """
HH AH L OW AE N D W EH L K AH M AY AE M AH F OW T AH G R AE F DH AE T HH AE Z L ER N D T UW S P IY K
G IH V M IY AH P AO R T R AH T AE N D AH V OY S AE N D AY W IH L M UW V M AY L IH P S B L IH NG K M AY AY Z
AE N D T EH L Y AO R S T AO R IY IH N M AY OW N W EY
""".split()  # noqa: SIM905
"""What is said in the example, by the dictionary."""


def shapes(labels: list[str]) -> list[str]:
    return [viseme for label in labels for viseme in visemes_of(label)]


def spoken(phonemes: tuple[Phoneme, ...]) -> list[str]:
    return [p.label for p in phonemes if p.label != SILENCE]


@pytest.fixture(scope="module")
def track(recogniser: PocketsphinxRecogniser, example: Speech) -> PhonemeTrack:
    return recogniser.phonemes(example)


def test_most_of_a_clear_voice_is_understood(track: PhonemeTrack) -> None:
    passes = track.segmentations
    alike = [
        SequenceMatcher(None, shapes(spoken(p.phonemes)), shapes(WORDS), autojunk=False).ratio()
        for p in passes
    ]
    assert alike[0] > 0.75
    assert min(alike) > 0.55


def test_passes_cover_the_recording_in_order(track: PhonemeTrack, example: Speech) -> None:
    assert sum(s.weight for s in track.segmentations) == pytest.approx(1.0)
    for segmentation in track.segmentations:
        assert all(a.end <= b.start + 1e-6 for a, b in pairwise(segmentation.phonemes))
        assert segmentation.phonemes[0].start < 0.1
        assert example.duration - 0.3 < segmentation.phonemes[-1].end <= example.duration + 1e-6
        assert all(
            label.isalpha() and label.isupper() != segmentation.sparse
            for label in spoken(segmentation.phonemes)
        )


def test_passes_agree_on_the_time(track: PhonemeTrack) -> None:
    """Played at another speed, a recording gives the same times: a hiss of s is where it was."""
    words, *others = (s.phonemes for s in track.segmentations)
    hisses = [(p.start + p.end) / 2 for p in words if p.label in {"S", "Z"}]
    for other, apart in zip(others, (0.03, 0.03, 0.045), strict=True):  # the network's frames are longer
        theirs = np.array([(p.start + p.end) / 2 for p in other if p.label in {"S", "Z", "s", "z"}])
        gaps = [np.abs(theirs - hiss).min() for hiss in hisses]
        assert np.median(gaps) < apart


def test_what_was_heard_before_does_not_matter(recogniser: PocketsphinxRecogniser, example: Speech) -> None:
    short = Speech("", example.samples[: 3 * SPEECH_RATE], Path())
    other = Speech("", example.samples[4 * SPEECH_RATE :: -1].copy(), Path())
    fresh = PocketsphinxRecogniser().phonemes(short)
    recogniser.phonemes(other)
    assert recogniser.phonemes(short) == fresh


def test_threads_may_share_it(recogniser: PocketsphinxRecogniser, example: Speech) -> None:
    parts = [Speech("", example.samples[i * 16_000 : (i + 2) * 16_000], Path()) for i in range(3)]
    alone = [recogniser.phonemes(part) for part in parts]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(recogniser.phonemes, parts)) == alone


def test_loudness_of_the_recording_does_not_matter(
    recogniser: PocketsphinxRecogniser, example: Speech
) -> None:
    part = example.samples[: 3 * SPEECH_RATE]
    usual = recogniser.phonemes(Speech("", part, Path()))
    quiet = recogniser.phonemes(Speech("", part / 64, Path()))
    a, b = (shapes(spoken(t.segmentations[0].phonemes)) for t in (usual, quiet))
    assert SequenceMatcher(None, a, b, autojunk=False).ratio() > 0.9


@pytest.mark.parametrize("samples", [1, 160, 4000])
def test_the_shortest_sounds_are_heard_without_a_fault(
    recogniser: PocketsphinxRecogniser, samples: int
) -> None:
    speech = Speech("", np.full(samples, 0.1, np.float32), Path())
    for segmentation in recogniser.phonemes(speech).segmentations:
        assert all(0 <= p.start <= p.end <= speech.duration for p in segmentation.phonemes)


def test_a_long_recording_is_heard_like_its_parts(
    recogniser: PocketsphinxRecogniser, example: Speech, track: PhonemeTrack
) -> None:
    """Pieces are cut, and nothing drifts: the third time of saying it is at its place."""
    gap = np.zeros(SPEECH_RATE, np.float32)
    once = np.concatenate([example.samples, gap])
    long = Speech("", np.concatenate([once, once, once]), Path())
    first = track.segmentations[0].phonemes
    words = recogniser.phonemes(long).segmentations[0].phonemes
    offset = 2 * len(once) / SPEECH_RATE
    third = [p for p in words if p.start >= offset - 0.05]
    a, b = spoken(first), spoken(tuple(third))
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    assert matcher.ratio() > 0.7
    starts_a = [p.start for p in first if p.label != SILENCE]
    starts_b = [p.start - offset for p in third if p.label != SILENCE]
    moved = [
        abs(starts_a[m.a + i] - starts_b[m.b + i])
        for m in matcher.get_matching_blocks()
        for i in range(m.size)
    ]
    assert np.median(moved) < 0.02


@pytest.mark.slow
def test_ten_minutes_take_linear_time_and_bounded_memory(
    recogniser: PocketsphinxRecogniser, example: Speech
) -> None:
    long = Speech("", np.tile(example.samples, 58)[: 600 * SPEECH_RATE], Path())
    tracemalloc.start()
    track = recogniser.phonemes(long)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000
    assert track.voiced_seconds() > 400
    assert track.segmentations[0].phonemes[-1].end == pytest.approx(600, abs=0.5)
