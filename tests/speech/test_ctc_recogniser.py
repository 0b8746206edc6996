"""What the CTC network hears, and what is done where it hears nothing."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.media.voice_activity import Activity
from sadtalker_service.speech import ctc_recogniser
from sadtalker_service.speech.belief import believed
from sadtalker_service.speech.ctc_recogniser import CtcRecogniser
from sadtalker_service.speech.phonemes import SILENCE, Phoneme, PhonemeTrack, Segmentation
from sadtalker_service.speech.recogniser import PocketsphinxRecogniser


@pytest.fixture(scope="module")
def network() -> CtcRecogniser:
    return CtcRecogniser()


@pytest.mark.parametrize("seconds", [0.0, 0.01, 3.0, 61.0])
def test_phones_cover_a_piece_of_any_length(network: CtcRecogniser, example: Speech, seconds: float) -> None:
    samples = np.resize(example.samples, round(seconds * SPEECH_RATE))
    found = network.recognize(samples)
    assert all(a.end == b.start for a, b in pairwise(found))
    assert all(p.start < p.end for p in found)
    if found:
        assert (found[0].start, found[-1].end) == (0.0, pytest.approx(seconds))


def test_nothing_is_lost_after_thirty_seconds(network: CtcRecogniser, example: Speech) -> None:
    found = network.recognize(np.resize(example.samples, 70 * SPEECH_RATE))
    spoken = np.zeros(70)
    for phone in found:
        spoken[int(phone.start)] += phone.label != SILENCE
    assert spoken[60:].sum() > 0.7 * spoken[:10].sum()


@pytest.mark.parametrize("kind", ["silence", "hiss", "tone"])
def test_there_are_no_phones_without_a_voice(network: CtcRecogniser, kind: str) -> None:
    n = 4 * SPEECH_RATE
    sounds = {
        "silence": np.zeros(n),
        "hiss": np.random.default_rng(0).standard_normal(n) * 0.01,
        "tone": np.sin(np.arange(n) * 2 * np.pi * 440 / SPEECH_RATE),
    }
    found = network.recognize(sounds[kind].astype(np.float32))
    assert sum(p.end - p.start for p in found if p.label != SILENCE) < 0.2


def test_without_the_package_the_other_passes_remain(
    monkeypatch: pytest.MonkeyPatch, example: Speech, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ctc_recogniser, "_NETWORK", "hama/assets/missing.onnx")
    track = PocketsphinxRecogniser().phonemes(Speech("", example.samples[:SPEECH_RATE], Path()))
    assert len(track.segmentations) == 3
    assert "missing in the package hama" in caplog.text


def test_where_a_sparse_segmentation_is_silent_the_first_one_counts() -> None:
    words = tuple(Phoneme(label, i / 10, (i + 1) / 10) for i, label in enumerate("BDBDBDBDBD"))
    sparse = (Phoneme("m", 0.0, 0.2), Phoneme(SILENCE, 0.2, 0.95), Phoneme("m", 0.95, 1.0))
    active = np.ones(100, np.bool_)
    track = PhonemeTrack((Segmentation(words, 0.5), Segmentation(sparse, 0.5, sparse=True)))
    kept = believed(track, Activity(active, ~active, 0.0)).segmentations[1].phonemes
    assert [p.label for p in kept] == ["m", *"BDBDBDBD", "m"]
    assert all(a.end == pytest.approx(b.start) for a, b in pairwise(kept))
