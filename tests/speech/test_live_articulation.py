"""Speech that is still arriving: lips for what is known so far."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE
from sadtalker_service.media.audio import decode_speech
from sadtalker_service.speech.articulation import Articulation, joined
from sadtalker_service.speech.listening import articulation_windows
from sadtalker_service.speech.live_articulation import FASTEST, LiveArticulator
from sadtalker_service.speech.live_hearing import LOOK_AHEAD
from sadtalker_service.speech.phonemes import Phoneme
from sadtalker_service.speech.running import RunningPhones, RunningSignal, RunningSource, running_source
from sadtalker_service.speech.streaming_decoder import StreamingDecoder
from sadtalker_service.speech.visemes import OPENING

EXAMPLE = Path(__file__).parents[2] / "examples" / "speech.wav"
FRAME = SPEECH_RATE // 25
Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def voice() -> Samples:
    return decode_speech(EXAMPLE, max_bytes=10**7, max_seconds=60).samples


@pytest.fixture(scope="module")
def source() -> RunningSource:
    return running_source()


def spoken(samples: Samples, source: RunningSource) -> Articulation:
    """The articulation of the samples, 40 ms at a time."""
    speaking = LiveArticulator(source)
    padded = np.pad(samples, (0, -len(samples) % FRAME + 4 * FRAME))
    parts = [speaking.speak(piece) for piece in padded.reshape(-1, FRAME)]
    speaking.close()
    return joined(parts)


def test_the_lips_are_about_those_of_the_recording(voice: Samples, source: RunningSource) -> None:
    voice = voice[: 6 * SPEECH_RATE]
    live = spoken(voice, source).articulators[LOOK_AHEAD:, OPENING]
    file = joined(articulation_windows(iter([voice]))).articulators[:, OPENING]
    count = min(len(live), len(file))
    assert np.corrcoef(live[:count], file[:count])[0, 1] > 0.5


def test_nothing_moves_faster_than_in_recordings(voice: Samples, source: RunningSource) -> None:
    motion = spoken(voice[: 5 * SPEECH_RATE], source).articulators
    assert (np.abs(np.diff(motion, axis=0)) <= FASTEST + 1e-5).all()
    assert np.abs(np.diff(motion, axis=0)).max() > 2.0


@pytest.mark.parametrize("kind", ["hiss", "silence", "hum"])
def test_the_mouth_stays_shut_without_a_voice(kind: str, source: RunningSource) -> None:
    times = np.arange(5 * SPEECH_RATE) / SPEECH_RATE
    hiss = np.random.default_rng(2).standard_normal(len(times)) * 0.03
    sound = {"hiss": hiss, "silence": 0.0 * times, "hum": 0.1 * np.sin(2 * np.pi * 50 * times)}[kind]
    motion = spoken(sound.astype(np.float32), source).articulators[: 5 * 100]
    assert motion[300:, OPENING].max() < 1.0  # nobody knows at once that a sound will go on unchanged
    assert (motion[:, OPENING] > 5.0).mean() < 0.25


def test_phones_go_on_when_a_long_search_begins_anew(voice: Samples) -> None:
    source = RunningPhones(StreamingDecoder())
    source.begin(300)
    loud = voice[np.abs(voice) > 0.003]  # nearly no pauses
    sound = np.tile(loud, 4)[: 20 * SPEECH_RATE]
    longest = 0
    for number, piece in enumerate(sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)):
        source.push(piece)
        (guess,) = source.guess()
        phones = guess.phonemes
        assert phones[-1].end == pytest.approx(3.0 + (number + 1) * 0.04)
        assert all(a.end <= b.start + 1e-6 for a, b in pairwise(phones))
        longest = max(longest, len(phones))
    source.close()
    assert 30 < longest < 400


def test_without_pocketsphinx_the_signal_moves_the_lips(
    voice: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sadtalker_service.speech.streaming_decoder", None)
    source = running_source()
    assert isinstance(source, RunningSignal)
    assert spoken(voice[: 2 * SPEECH_RATE], source).articulators[:, OPENING].max() > 5.0


def test_an_interruption_shuts_the_mouth_in_a_tenth_of_a_second(
    voice: Samples, source: RunningSource
) -> None:
    speaking = LiveArticulator(source)
    pieces = iter(voice[: len(voice) // FRAME * FRAME].reshape(-1, FRAME))
    while speaking.speak(next(pieces)).articulators[-1, OPENING] < 6.0:
        pass
    speaking.interrupt()
    silence = np.zeros(FRAME, np.float32)
    after = np.concatenate([speaking.speak(silence).articulators for _ in range(10)])
    assert np.abs(after[10:]).max() == 0.0
    speaking.tell([Phoneme("AA", 0.0, 0.5)], 0.0, 0.5)
    again = np.concatenate([speaking.speak(silence).articulators for _ in range(20)])
    assert again[:, OPENING].max() > 8.0
