"""Without a model, loud and open sounds still open the mouth, hisses bare the teeth, breaks close it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.media.voice_activity import voiced_ticks
from sadtalker_service.speech.articulation import articulate
from sadtalker_service.speech.loudness import accents, level_db, loudness, pitched_share
from sadtalker_service.speech.phonemes import SILENCE
from sadtalker_service.speech.signal_source import LABELS, SignalSource
from sadtalker_service.speech.visemes import FLARE, OPENING, WIDTH

Vowel = Callable[[float, float, float], NDArray[np.float32]]


def hiss(seconds: float, low: float) -> NDArray[np.float32]:
    noise = np.random.default_rng(0).standard_normal(round(seconds * SPEECH_RATE))
    sound = sosfilt(butter(6, low, "highpass", fs=SPEECH_RATE, output="sos"), noise)
    return (0.05 * sound).astype(np.float32)


def quiet(seconds: float) -> NDArray[np.float32]:
    return np.zeros(round(seconds * SPEECH_RATE), np.float32)


def heard(samples: NDArray[np.float32], start: float, end: float) -> str:
    """The label that holds most of a stretch."""
    (segmentation,) = SignalSource().phonemes(Speech("", samples, Path())).segmentations
    spent = dict.fromkeys(LABELS, 0.0)
    for p in segmentation.phonemes:
        spent[p.label] += max(0.0, min(end, p.end) - max(start, p.start))
    return max(spent, key=lambda label: spent[label])


@pytest.fixture(scope="module")
def syllables(vowel: Vowel) -> NDArray[np.float32]:
    """0.4 s each: pause, a, s, i, u, pause, a, and a break of 60 ms, a, pause."""
    a, i, u = vowel(800, 1200, 0.4), vowel(280, 2400, 0.4), vowel(300, 750, 0.4)
    return np.concatenate([quiet(0.4), a, hiss(0.4, 4500), i, u, quiet(0.4), a, quiet(0.06), a, quiet(0.4)])


def test_kinds_of_sounds_are_told_apart(syllables: NDArray[np.float32]) -> None:
    assert heard(syllables, 0.0, 0.35) == SILENCE
    assert heard(syllables, 0.45, 0.75) in {"AA", "AO", "HH"}
    assert heard(syllables, 0.85, 1.15) in {"S", "SH"}
    assert heard(syllables, 1.25, 1.55) in {"IY", "EH"}
    assert heard(syllables, 1.65, 1.95) in {"UW", "AO"}
    assert heard(syllables, 2.05, 2.35) == SILENCE
    assert heard(syllables, 2.81, 2.85) == "B"


def test_the_mouth_follows_them(syllables: NDArray[np.float32]) -> None:
    speech = Speech("", syllables, Path())
    motion = articulate(SignalSource().phonemes(speech), speech).articulators
    middle = {name: motion[int(100 * t)] for name, t in {"a": 0.57, "s": 0.97, "i": 1.37, "u": 1.77}.items()}
    assert middle["a"][OPENING] > max(middle[name][OPENING] for name in "siu") + 2
    assert middle["i"][WIDTH] > middle["u"][WIDTH] + 6
    assert middle["s"][FLARE] > 0.5
    assert motion[275:290, OPENING].min() < 0.1


def test_the_phonemes_cover_the_recording(syllables: NDArray[np.float32]) -> None:
    (segmentation,) = SignalSource().phonemes(Speech("", syllables, Path())).segmentations
    ends = [p.end for p in segmentation.phonemes]
    assert [p.start for p in segmentation.phonemes] == pytest.approx([0.0, *ends[:-1]])
    assert ends[-1] == pytest.approx(len(syllables) / SPEECH_RATE, abs=0.01)


@pytest.mark.parametrize("samples", [0, 1, 159, 161])
def test_the_shortest_sounds_are_heard_without_a_fault(samples: int) -> None:
    track = SignalSource().phonemes(Speech("", np.full(samples, 0.3, np.float32), Path()))
    assert len(track.segmentations) == 1


def test_loudness_is_relative_to_the_recording(syllables: NDArray[np.float32]) -> None:
    loud = loudness(level_db(syllables))
    assert np.abs(loud - loudness(level_db(syllables * 0.1))).max() < 0.02
    assert loud[:30].max() == 0
    assert loud[50:70].min() > 0.8
    assert not loudness(level_db(syllables * 1e-4)).any()


def test_accents_are_at_the_loud_syllables(vowel: Vowel) -> None:
    beats = [0.5, 1.3, 2.4]
    samples = np.zeros(3 * SPEECH_RATE, np.float32)
    for beat in beats:
        start = int((beat - 0.1) * SPEECH_RATE)
        samples[start : start + 3200] = vowel(700, 1200, 0.2)
    found = accents(loudness(level_db(samples)))
    assert found[:, 0] == pytest.approx(beats, abs=0.05)
    assert ((found[:, 1] > 0.3) & (found[:, 1] <= 1)).all()


def test_voices_have_a_pitch_and_noises_do_not(vowel: Vowel) -> None:
    noise = np.random.default_rng(0).standard_normal(2 * SPEECH_RATE).astype(np.float32)
    rumble = np.cumsum(noise).astype(np.float32)
    assert pitched_share(vowel(700, 1200, 2.0)) > 0.9
    for silence in (
        quiet(2),
        noise * 0.1,
        rumble / np.abs(rumble).max(),
        noise * 1e-5,
        np.full(32_000, 0.4, "f4"),
    ):
        samples = np.asarray(silence - silence.mean(), np.float32)
        assert pitched_share(samples) < 0.05
        assert not voiced_ticks(samples).any()
