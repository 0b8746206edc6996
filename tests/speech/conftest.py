"""Sounds to listen to."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.media.audio import decode_speech
from sadtalker_service.speech.recogniser import PocketsphinxRecogniser

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "speech.wav"


@pytest.fixture(scope="session")
def recogniser() -> PocketsphinxRecogniser:
    return PocketsphinxRecogniser()


@pytest.fixture(scope="session")
def example() -> Speech:
    """Two English sentences of a synthetic voice."""
    return decode_speech(EXAMPLE, max_bytes=10_000_000, max_seconds=60)


@pytest.fixture(scope="session")
def vowel() -> Callable[[float, float, float], NDArray[np.float32]]:
    return synthesise_vowel


def synthesise_vowel(first: float, second: float, seconds: float) -> NDArray[np.float32]:
    """A buzz of 120 Hz through two formants: float32 (n,)."""
    n = round(seconds * SPEECH_RATE)
    sound = (np.arange(n) % (SPEECH_RATE // 120) == 0).astype(float)
    for formant, width in ((first, 90.0), (second, 120.0), (2900.0, 200.0)):
        radius = np.exp(-np.pi * width / SPEECH_RATE)
        angle = 2 * np.pi * formant / SPEECH_RATE
        poles = [1.0, -2 * radius * np.cos(angle), radius**2]
        sound = lfilter([sum(poles)], poles, sound)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)
