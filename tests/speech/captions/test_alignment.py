"""A text is found in its recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sadtalker_service.domain import Speech, SpokenText
from sadtalker_service.media.audio import decode_speech
from sadtalker_service.pipeline.cached import CachedComputation
from sadtalker_service.pipeline.spoken import speak_text
from sadtalker_service.speech.captions.alignment import align_words
from sadtalker_service.store.cache import NoCache

EXAMPLES = Path(__file__).parents[3] / "examples"
TEXT = "Dr. Smith paid $3 for the sadtalker book."


def test_words_are_found_to_a_tenth_of_a_second(tmp_path: Path) -> None:
    """Against the times of the voice that spoke them: two independent ways to the same words."""
    speech = speak_text(SpokenText(TEXT, "bm_george"), tmp_path / "a.wav", CachedComputation(NoCache()))
    assert speech.timeline is not None
    words, found = align_words(speech, TEXT)
    assert found
    assert [word.label for word in words] == TEXT.split()
    offsets = [ours.start - theirs.start for ours, theirs in zip(speech.timeline.words, words, strict=True)]
    assert np.abs(offsets).max() <= 0.1


def test_a_text_that_is_not_in_the_recording_is_spread_over_its_voice() -> None:
    speech = decode_speech(EXAMPLES / "speech.wav", max_bytes=10**8, max_seconds=60.0)
    short = Speech(speech.audio_hash, speech.samples[:16_000], speech.path)
    words, found = align_words(short, "an endless text that nobody could speak in one second " * 4)
    assert not found
    assert len(words) == 40
    assert 0 <= words[0].start <= words[-1].end <= 1.0


def test_silence_has_no_words() -> None:
    words, found = align_words(Speech("0" * 64, np.zeros(16_000, np.float32), Path("none")), "hello")
    assert not found
    assert words == ()
