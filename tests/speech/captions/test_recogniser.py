"""Words of recordings without a transcript: Whisper where it is installed, a clear word where it is not."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sadtalker_service.domain import Speech, SpokenText
from sadtalker_service.media.audio import decode_speech
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.cached import CachedComputation
from sadtalker_service.pipeline.captioned import Captions
from sadtalker_service.pipeline.spoken import speak_text
from sadtalker_service.pipeline.transcripts import with_recognised_words
from sadtalker_service.speech.captions.recogniser import obstacle, recognise_words
from sadtalker_service.store.cache import MemoryCache, NoCache

EXAMPLES = Path(__file__).parents[3] / "examples"
TEXT = (
    "hello and welcome i am a photograph that has learned to speak give me a portrait and a voice and i will"
    " move my lips blink my eyes and tell your story in my own way"
)

installed = pytest.mark.skipif(obstacle() is not None, reason="the extra captions is not installed")


def example() -> Speech:
    return decode_speech(EXAMPLES / "speech.wav", max_bytes=10**8, max_seconds=60.0)


def plain(words: list[str]) -> str:
    return " ".join(word.strip(".,!?").lower() for word in words)


def test_without_the_extra_the_video_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)  # as python marks a package that is not there
    speech = example()
    assert with_recognised_words(speech, CachedComputation(NoCache())) is speech
    (remark,) = Captions(speech, RenderOptions(captions="track")).remarks()
    assert "transcript" in remark
    assert "pip install" in remark
    assert "[captions]" in remark
    assert list(Captions(speech, RenderOptions()).remarks()) == []


@installed
def test_silence_has_no_words() -> None:
    assert recognise_words(np.zeros(32_000, np.float32)) == ((), "")


@installed
@pytest.mark.slow
def test_words_and_their_times_are_those_of_the_voice(tmp_path: Path) -> None:
    text = "Maybe the number of members will improve by spring."
    spoken = speak_text(SpokenText(text, "bm_george"), tmp_path / "a.wav", CachedComputation(NoCache()))
    assert spoken.timeline is not None
    words, language = recognise_words(spoken.samples)
    assert language == "en"
    assert plain([word.label for word in words]) == plain(text.split())
    intended = [word.start for word in spoken.timeline.words]
    starts = np.array([word.start for word in words])
    assert (np.diff(starts) >= 0).all()
    assert np.abs(starts - intended).max() <= 0.5
    recording = with_recognised_words(replace(spoken, timeline=None), CachedComputation(NoCache()))
    assert isinstance(recording, Speech)
    assert recording.timeline is not None
    offsets = [word.start - at for word, at in zip(recording.timeline.words, intended, strict=True)]
    assert np.percentile(np.abs(offsets), 80) <= 0.1
    assert np.abs(offsets).max() <= 0.15


@installed
@pytest.mark.slow
def test_recording_is_recognised_once_and_says_so() -> None:
    cache = CachedComputation(MemoryCache(10**8))
    speech = example()
    first = with_recognised_words(speech, cache)
    assert isinstance(first, Speech)
    assert first.timeline is not None
    assert plain([word.label for word in first.timeline.words]) == TEXT
    assert any("were recognised (language: en)" in warning for warning in first.warnings)
    captions = Captions(first, RenderOptions(captions="track"))
    assert list(captions.remarks()) == []
    # a second time nothing is heard: the samples are not looked at
    again = with_recognised_words(replace(speech, samples=np.zeros_like(speech.samples)), cache)
    assert isinstance(again, Speech)
    assert again.timeline == first.timeline
