"""From a recording to lips, whatever the recording is."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.speech import Articulation, recognize_speech
from sadtalker_service.speech.closing import BILABIAL
from sadtalker_service.speech.listening import default_source, recognize_phonemes
from sadtalker_service.speech.phonemes import Phoneme, PhonemeTrack
from sadtalker_service.speech.recogniser import PocketsphinxRecogniser
from sadtalker_service.speech.signal_source import SignalSource
from sadtalker_service.speech.visemes import OPENING

RNG = np.random.default_rng(0)


class Deaf:
    """A source that hears nothing."""

    def phonemes(self, speech: Speech) -> PhonemeTrack:
        return PhonemeTrack.exact((Phoneme("SIL", 0.0, speech.duration),))


def speech(samples: NDArray[np.floating]) -> Speech:
    return Speech("", np.asarray(samples, np.float32), Path())


@pytest.fixture(scope="module")
def articulation(example: Speech) -> Articulation:
    return recognize_speech(example)


def test_a_voice_moves_the_lips_as_real_ones_do(example: Speech, articulation: Articulation) -> None:
    opening = np.interp(
        np.arange(0, example.duration - 0.01, 0.04),
        np.arange(len(articulation.articulators)) / 100,
        articulation.articulators[:, OPENING],
    )
    assert 3.1 < opening.std() < 6.0
    assert 1.2 < np.abs(np.diff(opening)).mean() < 1.95
    assert 5 < opening.mean() < 10
    assert np.sum(articulation.closures[:, 0] == BILABIAL) >= 7
    assert len(articulation.accents) >= 5


def test_lips_open_with_the_voice_and_slightly_before_it(articulation: Articulation) -> None:
    opening, loud = articulation.articulators[:, OPENING], articulation.loudness

    def r(lag: int) -> float:
        return float(np.corrcoef(opening[40 - lag : -40 - lag], loud[40:-40])[0, 1])

    scores = {lag: r(lag) for lag in range(-20, 21)}
    best = max(scores, key=lambda lag: scores[lag])
    assert scores[best] > 0.15  # loudness says little about lips, even about those of real speakers
    assert 0 <= best <= 12  # lips at tick t - best go with the sound at t
    assert min(scores.values()) < 0


def test_equal_recordings_give_equal_lips(example: Speech, articulation: Articulation) -> None:
    again = recognize_speech(example)
    assert np.array_equal(again.articulators, articulation.articulators)


def test_the_recogniser_is_the_default_and_is_loaded_once() -> None:
    assert isinstance(default_source(), PocketsphinxRecogniser)
    assert default_source() is default_source()


def test_without_pocketsphinx_lips_follow_the_signal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "sadtalker_service.speech.recogniser", None)
    assert isinstance(default_source.__wrapped__(), SignalSource)
    assert "recogniser_missing" in caplog.text


NOISE = RNG.standard_normal(2 * SPEECH_RATE)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(2 * SPEECH_RATE),
        np.zeros(0),
        np.ones(1),
        np.zeros(100),
        np.full(SPEECH_RATE, 1e-9),
        0.1 * NOISE,
        np.clip(NOISE, -1, 1),
        np.cumsum(NOISE) / 500 - np.mean(np.cumsum(NOISE) / 500),
        0.3 * np.sin(2 * np.pi * 50 * np.arange(2 * SPEECH_RATE) / SPEECH_RATE),
    ],
    ids=["silence", "nothing", "one sample", "100 samples", "denormal", "hiss", "loud hiss", "rumble", "hum"],
)
def test_a_mouth_stays_shut_when_nobody_speaks(samples: NDArray[np.float64]) -> None:
    articulation = recognize_speech(speech(samples))
    assert not articulation.articulators.any()
    assert len(articulation.closures) == len(articulation.accents) == 0
    assert not articulation.loudness.any()


def test_clipped_voices_are_still_heard(example: Speech, articulation: Articulation) -> None:
    clipped = recognize_speech(speech(np.clip(3 * example.samples, -1, 1)))
    a, b = clipped.articulators[:, OPENING], articulation.articulators[:, OPENING]
    assert np.isfinite(clipped.articulators).all()
    assert np.corrcoef(a, b)[0, 1] > 0.6


def test_a_voice_that_is_not_understood_still_moves_the_mouth(example: Speech) -> None:
    heard = recognize_phonemes(example, Deaf())
    assert heard.voiced_seconds() > 0.3 * example.duration
    articulation = recognize_speech(example, Deaf())
    assert articulation.articulators[:, OPENING].std() > 2


def test_silence_is_not_mistaken_for_a_voice_that_is_not_understood(
    vowel: Callable[[float, float, float], NDArray[np.float32]],
) -> None:
    burst = np.zeros(4 * SPEECH_RATE, np.float32)
    burst[16_000:20_800] = vowel(700, 1200, 0.3)
    gate = np.repeat(RNG.random(40), SPEECH_RATE // 10) * RNG.standard_normal(4 * SPEECH_RATE) * 0.05
    assert recognize_phonemes(speech(gate), Deaf()).voiced_seconds() == 0
    assert recognize_phonemes(speech(burst), Deaf()).voiced_seconds() > 0
