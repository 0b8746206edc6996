"""What Kokoro says, and when it says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.forced_alignment import aligned_phonemes

from sadtalker_service.domain import Speech, SpokenText
from sadtalker_service.speech.articulation import Articulation
from sadtalker_service.speech.coarticulation import LEAD
from sadtalker_service.speech.listening import recognize_speech
from sadtalker_service.speech.phonemes import SILENCE
from sadtalker_service.speech.voices import kokoro_model
from sadtalker_service.speech.voices.kokoro import KokoroVoice
from sadtalker_service.speech.voices.port import VOICE_RATE
from sadtalker_service.speech.voices.speaker import read_text, recite

TEXTS = ("please remember to bring the blue umbrella", "my brother made a big map of the bay")
FINAL = ("a warm room", "tom came home")
"""The last sound before a pause is the hardest: the network lengthens it."""


@pytest.mark.parametrize(
    "voice",
    [
        "af_heart",
        *(
            pytest.param(v, marks=pytest.mark.slow)
            for v in ("am_michael", "bf_emma", "bm_george", "af_bella")
        ),
    ],
)
def test_bilabials_are_where_a_recogniser_hears_them(say, voice: str) -> None:
    offsets = []
    for text in (*TEXTS, *FINAL):
        samples, timeline = say(text, voice)
        heard = [one for one in aligned_phonemes(samples, VOICE_RATE, text) if one.label in {"P", "B", "M"}]
        ours = [one for one in timeline.phonemes if one.label in {"p", "b", "m"}]
        assert [one.label.upper() for one in ours] == [one.label for one in heard]
        offsets += [mine.start - theirs.start for mine, theirs in zip(ours, heard, strict=True)]
    assert abs(np.mean(offsets)) <= 0.010
    assert np.abs(offsets).max() <= 0.045  # 40 ms, and half a frame of the recogniser


@pytest.mark.parametrize("text", ["Please come home.", "please come home"])
def test_last_sound_ends_where_it_fades(say, text: str) -> None:
    samples, timeline = say(text)
    loudest = np.abs(samples).max()
    last = [one for one in timeline.phonemes if one.label != SILENCE][-1]
    assert last.end - last.start < 0.35
    assert np.abs(samples[int((last.end + 0.02) * VOICE_RATE) :]).max() < 0.1 * loudest
    assert (
        np.abs(samples[int((last.end - 0.015) * VOICE_RATE) : int(last.end * VOICE_RATE)]).max()
        > 0.01 * loudest
    )
    assert timeline.words[-1].end == pytest.approx(last.end)


def test_phonemes_cover_the_sound_without_gaps_and_words_lie_in_it(say) -> None:
    samples, timeline = say("Hello, this is a test. Here is more.")
    assert timeline.phonemes[0].start == 0
    assert timeline.phonemes[-1].end == pytest.approx(len(samples) / VOICE_RATE, abs=0.001)
    for before, after in zip(timeline.phonemes, timeline.phonemes[1:], strict=False):
        assert before.end == pytest.approx(after.start)
    assert [word.label for word in timeline.words] == [
        "Hello,",
        "this",
        "is",
        "a",
        "test.",
        "Here",
        "is",
        "more.",
    ]
    starts = [word.start for word in timeline.words]
    assert starts == sorted(starts)
    assert np.abs(samples[: int(0.1 * VOICE_RATE)]).max() < 0.01


def test_the_pause_of_a_break_is_silence(say) -> None:
    samples, timeline = say('Wait here <break time="1s"/> now go.')
    first, then = timeline.words[1].end, timeline.words[2].start
    assert 1.0 <= then - first < 1.4
    quiet = samples[int((first + 0.15) * VOICE_RATE) : int((then - 0.1) * VOICE_RATE)]
    assert np.abs(quiet).max() < 0.01


def test_the_rate_changes_the_length_and_not_the_words(say) -> None:
    usual, _ = say("Hello there.")
    fast, timeline = recite(read_text(SpokenText("Hello there.", "af_heart", 1.5)))
    assert 0.6 < len(fast) / len(usual) < 0.9
    assert timeline.words[-1].label == "there."


def test_the_same_text_is_the_same_sound_on_one_and_two_threads(say) -> None:
    samples, _ = say("Hello there.")
    voice = KokoroVoice(lambda: kokoro_model.KokoroModel(1))
    again, _ = recite(read_text(SpokenText("Hello there.", "af_heart")), voice)
    assert np.array_equal(samples, again)


def test_lips_shut_for_the_bilabials_of_the_timeline(say) -> None:
    samples, timeline = say(TEXTS[0])
    mouth = _articulation(samples, timeline)
    bilabials = [one for one in timeline.phonemes if one.label in {"p", "b", "m"}]
    shut = mouth.closures[mouth.closures[:, 0] == 0]
    for one in bilabials:  # two in a row, as in "remember", are one closure
        middle = (one.start + one.end) / 2 - LEAD
        assert np.maximum(shut[:, 1] - middle, middle - shut[:, 2]).min() <= 0.04
    assert next(one.label for one in timeline.phonemes if one.label != SILENCE) == "p"


def test_spanish_is_spoken(say) -> None:
    samples, timeline = say("Buenos días, amigo.", "ef_dora")
    assert len(samples) > VOICE_RATE
    assert [word.label for word in timeline.words] == ["Buenos", "días,", "amigo."]


def _articulation(samples, timeline) -> Articulation:
    import soxr

    driving = np.asarray(soxr.resample(samples, VOICE_RATE, 16_000), np.float32)
    return recognize_speech(Speech("0" * 64, driving, Path("none"), timeline=timeline))
