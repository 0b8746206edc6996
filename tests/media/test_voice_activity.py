"""Where there may be a voice: noise that begins suddenly is none, and takes nothing from a voice in it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.cases.recordings import RATE, Sound, breath, noise, silence, voice

from sadtalker_service.media.voice_activity import TICK, activity

BEFORE = {"digital silence": silence(1.7), "hiss": noise(1.7, -78, 0.0), "a room": noise(1.7, -66, 0.7)}


def active(sound: Sound) -> NDArray[np.bool_]:
    return activity(sound[:, 0].astype(np.float32)).active


def fan(seconds: float, dbfs: float) -> Sound:
    """Noise of blades: 23 of them a second."""
    blades = 1 + 0.2 * np.sin(2 * np.pi * 23 * np.arange(round(seconds * RATE)) / RATE)
    return noise(seconds, dbfs, 0.8, seed=1) * blades[:, None]


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("seconds", [0.9, 2.3, 6.1])
@pytest.mark.parametrize("dbfs", [-48, -27])
def test_noise_that_begins_suddenly_is_no_voice(before: str, seconds: float, dbfs: float) -> None:
    for sound in (noise(seconds, dbfs, 0.0, seed=2), noise(seconds, dbfs, 1.0, seed=3), fan(seconds, dbfs)):
        on = BEFORE[before]
        assert not active(np.concatenate([on, sound, on[::-1]])).any()
        assert not active(np.concatenate([on, sound])).any()


def test_breath_and_noise_that_swells_are_no_voice() -> None:
    swelling = noise(3.0, -35, 0.6, seed=6) * (0.03 + np.hanning(3 * RATE)[:, None])
    for sound in (breath(0.6, -48), breath(1.0, -34, seed=1), swelling):
        for floor in (-120, -68):
            whole = np.concatenate([silence(0.8), sound, silence(0.8)])
            assert not active(whole + noise(len(whole) / RATE, floor, 0.2, seed=7)).any()


def test_a_voice_is_found_in_noise_that_has_just_begun() -> None:
    sound = np.concatenate([silence(1.0), noise(4.0, -45, 0.3, seed=4)])
    begin = round(1.6 * RATE)
    sound[begin : begin + 2 * RATE] += voice(2.0)
    found = active(sound)
    assert not found[:150].any()
    assert found[185:355].mean() > 0.95  # the voice has 0.2 s of silence first
    assert not found[380:].any()


@pytest.mark.parametrize("hertz", [98, 233, 415])
def test_a_note_that_is_held_is_no_noise(hertz: int) -> None:
    t = np.arange(2 * RATE) / RATE
    wobble = 1 + 0.02 * np.sin(2 * np.pi * 5.2 * t)
    phase = 2 * np.pi * hertz * np.cumsum(wobble) / RATE
    note = sum(np.sin(k * phase) / k**1.5 for k in range(1, 3000 // hertz))
    sound = np.concatenate([silence(0.8), 0.05 * np.asarray(note)[:, None], silence(0.8)])
    assert active(sound)[85:275].all()


def test_a_word_between_digital_silence_is_a_voice_up_to_its_edges() -> None:
    for seconds in (0.25, 0.7, 1.4):
        word = voice(seconds, 1.0)
        found = active(np.concatenate([silence(1.0), word, silence(1.0)]))
        assert found[100 : 100 + round(seconds * RATE / TICK)].mean() > 0.9
