"""Captions keep to the usual rules, and other programs can read them."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
import webvtt

from sadtalker_service.domain import TimedLabel
from sadtalker_service.media.cues import Cue, to_srt, to_vtt
from sadtalker_service.speech.captions.lines import LINE, LONGEST, cues_of

TEXT = (
    "When the sunlight strikes raindrops in the air, they act as a prism and form a rainbow. The rainbow"
    " is a division of white light into many beautiful colors. These take the shape of a long round arch,"
    " with its path high above, and its two ends apparently beyond the horizon! Really? There is, according"
    " to legend, a boiling pot of gold at one end."
)


def timed(text: str, per_character: float = 0.06, gap: float = 0.02) -> list[TimedLabel]:
    """Words one after the other, as long as they are written; a sentence ends with a pause of 0.4 s."""
    words, at = [], 0.2
    for label in text.split():
        words.append(TimedLabel(label, at, at + per_character * len(label)))
        at = words[-1].end + (0.4 if label[-1] in ".!?" else gap)
    return words


@pytest.mark.parametrize("per_character", [0.03, 0.06, 0.15])
def test_rules_of_length_and_time(per_character: float) -> None:
    words = timed(TEXT, per_character)
    duration = words[-1].end + 1.0
    cues = cues_of(words, duration)
    assert " ".join(" ".join(cue.lines) for cue in cues) == TEXT
    for cue in cues:
        assert 1 <= len(cue.lines) <= 2
        assert max(map(len, cue.lines)) <= LINE
        assert 0 < cue.end - cue.start <= LONGEST
    for one, following in pairwise(cues):
        assert one.end <= following.start
    # a cue is shown while its words are said
    firsts = {cue.start for cue in cues}
    assert firsts <= {word.start for word in words}


def test_short_cues_stay_for_a_second_where_there_is_room() -> None:
    words = [TimedLabel("Yes.", 1.0, 1.2), TimedLabel("Then", 5.0, 5.2), TimedLabel("no.", 5.25, 5.4)]
    first, second = cues_of(words, 10.0)
    assert first == Cue(1.0, 2.0, ("Yes.",))
    assert second.lines == ("Then no.",)


def test_sentences_and_pauses_begin_new_cues() -> None:
    cues = cues_of(timed("This is the first sentence. This is the second one."), 20.0)
    assert [" ".join(cue.lines) for cue in cues] == ["This is the first sentence.", "This is the second one."]


def test_nothing_is_shown_after_the_end() -> None:
    cues = cues_of([TimedLabel("Late", 0.9, 1.2), TimedLabel("gone", 1.5, 1.6)], 1.0)
    assert cues[-1].end <= 1.0


def test_an_endless_word_is_cut() -> None:
    (cue,) = cues_of([TimedLabel("x" * 70, 0.0, 1.0)], 3.0)
    assert all(len(line) <= LINE for line in cue.lines)


@pytest.mark.parametrize("kind", ["vtt", "srt"])
def test_another_program_reads_them_back(kind: str) -> None:
    cues = cues_of(timed(f"{TEXT} A & B <i>are</i> --> here."), 60.0)
    text = to_vtt(cues) if kind == "vtt" else to_srt(cues)
    read = webvtt.from_buffer(io.StringIO(text), format=kind)
    assert len(read) == len(cues)
    for ours, theirs in zip(cues, read, strict=True):
        assert np.isclose(theirs.start_in_seconds, int(ours.start), atol=1)
        assert theirs.start.replace(",", ".") == f"00:00:{ours.start:06.3f}"
        assert theirs.end.replace(",", ".") == f"00:00:{ours.end:06.3f}"
    assert to_vtt([Cue(3661.5, 3662.0, ("a",))]).splitlines()[2] == "01:01:01.500 --> 01:01:02.000"
