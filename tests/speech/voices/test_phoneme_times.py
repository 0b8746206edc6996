"""The times of a network's phonemes are those of its sound."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import TimedLabel
from sadtalker_service.speech.phonemes import SILENCE
from sadtalker_service.speech.voices.aligning import aligned
from sadtalker_service.speech.voices.arpabet import arpabet_of
from sadtalker_service.speech.voices.port import VOICE_RATE, Utterance
from sadtalker_service.speech.voices.settling import settled

TEXT = "please remember to bring the blue umbrella"


def spoken(say, text: str = TEXT) -> Utterance:
    samples, timeline = say(text)
    return Utterance(samples, timeline.phonemes, timeline.words)


def late(utterance: Utterance, by: dict[int, float]) -> Utterance:
    """The same with phonemes that begin later, and their neighbours that end later."""
    starts = [one.start + by.get(number, 0.0) for number, one in enumerate(utterance.phonemes)]
    ends = [*starts[1:], utterance.phonemes[-1].end]
    moved = (replace(p, start=a, end=b) for p, a, b in zip(utterance.phonemes, starts, ends, strict=True))
    return replace(utterance, phonemes=tuple(moved))


def sound_falls(samples: NDArray[np.float32], about: float) -> float:
    """The time within 60 ms at which the sound above 400 Hz falls most, seconds."""
    hop, size = 120, 360
    begin = round(about * VOICE_RATE) - 12 * hop - size // 2
    frames = np.stack([samples[begin + i * hop :][:size] for i in range(-5, 30)]) * np.hanning(size)
    power = np.square(np.abs(np.fft.rfft(frames, 512)))[:, 9:]
    level = 10 * np.log10(power.sum(axis=1) + 1e-7)
    falls = [level[i - 5 : i].mean() - level[i + 1 : i + 6].mean() for i in range(5, 30)]
    return about + (int(np.argmax(falls)) - 12) * hop / VOICE_RATE


def test_stops_begin_where_the_sound_falls(say) -> None:
    offsets = []
    for text in (TEXT, "my brother made a big map of the bay"):
        samples, timeline = say(text)
        for before, one in zip(timeline.phonemes, timeline.phonemes[1:], strict=False):
            if one.label in {"p", "b"} and before.label not in {SILENCE, "m"}:
                offsets.append(one.start - sound_falls(samples, one.start))
    assert len(offsets) >= 5
    assert abs(np.mean(offsets)) < 0.015
    assert np.abs(offsets).max() < 0.035


def test_phonemes_that_come_late_are_moved_to_where_they_are_heard(say) -> None:
    said = spoken(say)
    numbers = [n for n, one in enumerate(said.phonemes) if one.label in {"m", "b"}]
    off = late(said, dict.fromkeys(numbers, 0.045))
    mended = aligned(off)
    assert [one.label for one in mended.phonemes] == [one.label for one in said.phonemes]
    left = [mended.phonemes[n].start - said.phonemes[n].start for n in numbers]
    assert np.abs(left).max() < 0.03
    for before, after in zip(mended.phonemes, mended.phonemes[1:], strict=False):
        assert before.end == pytest.approx(after.start)
        assert before.end - before.start > 0.015


def test_an_alignment_far_away_is_not_believed(say) -> None:
    said = spoken(say)
    number = next(n for n, one in enumerate(said.phonemes) if one.label == "b")
    labels = list(said.phonemes)
    labels[number] = replace(labels[number], label="s")  # an s is heard nowhere near
    wrong = aligned(replace(said, phonemes=tuple(labels)))
    assert abs(wrong.phonemes[number].start - said.phonemes[number].start) <= 0.1


def test_what_cannot_be_aligned_keeps_its_times(say, monkeypatch: pytest.MonkeyPatch) -> None:
    said = spoken(say)
    for samples in (np.zeros(VOICE_RATE // 20, np.float32), np.zeros_like(said.samples)):
        assert aligned(replace(said, samples=samples, phonemes=())).phonemes == ()
    noise = np.random.default_rng(0).standard_normal(VOICE_RATE // 10).astype(np.float32)
    assert aligned(replace(said, samples=noise)).phonemes == said.phonemes
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    assert aligned(said).phonemes == said.phonemes


@pytest.mark.parametrize(("label", "start"), [("b", 0.74), ("m", 0.77), ("s", 0.5)])
def test_a_word_after_silence_begins_with_its_sound(label: str, start: float) -> None:
    samples = np.zeros(VOICE_RATE * 3 // 2, np.float32)
    t = np.arange(len(samples)) / VOICE_RATE
    samples += np.sin(2 * np.pi * 220 * t) * ((t > 0.2) & (t < 0.5) | (t > 0.8) & (t < 1.2))
    times = (("ɑ", 0.2, 0.5), (label, 0.5, 0.8), ("ɑ", 0.8, 1.2), (SILENCE, 1.2, 1.5))
    phonemes = tuple(TimedLabel(*one) for one in times)
    words = (TimedLabel("a", 0.2, 0.5), TimedLabel("word", 0.5, 1.2))
    said = settled(Utterance(samples, phonemes, words))
    assert said.phonemes[1].start == pytest.approx(start, abs=0.006)
    assert said.phonemes[0].end == said.phonemes[1].start
    within_a_word = settled(Utterance(samples, phonemes, words[:1]))
    assert within_a_word.phonemes[1].start <= 0.5, "a closure within a word may be long"


@pytest.mark.parametrize(
    ("label", "sound"),
    [
        ("AY", "AY"),
        ("ɹ", "R"),
        ("a", "AA"),
        ("ɲ", "N"),
        ("tɕ", "SH"),
        ("ø", "ER"),
        (SILENCE, None),
        ("?", None),
    ],
)
def test_every_label_has_an_english_sound(label: str, sound: str | None) -> None:
    assert arpabet_of(label) == sound
