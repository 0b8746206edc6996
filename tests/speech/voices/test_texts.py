"""Markup, phrases, voices by name, and what cannot be spoken."""

from __future__ import annotations

import pytest

from sadtalker_service.domain import SpokenText
from sadtalker_service.errors import InvalidOption, TextTooLong
from sadtalker_service.speech.voices.catalogue import KOKORO_VOICES, find_voice
from sadtalker_service.speech.voices.markup import Break, Span, parse_markup
from sadtalker_service.speech.voices.phrases import LONGEST, LONGEST_FIRST
from sadtalker_service.speech.voices.speaker import Script, read_text


def script(text: str, voice: str = "af_heart", rate: float = 1.0) -> Script:
    return read_text(SpokenText(text, voice, rate))


def written(text: str) -> list[str]:
    return [
        " ".join(token.written + token.mark for token in phrase.tokens) for phrase in script(text).phrases
    ]


def test_sentences_become_phrases_and_short_ones_are_joined() -> None:
    assert written("Yes. No. This is a much longer sentence, is it not? Here comes another one!") == [
        "Yes. No. This is a much longer sentence, is it not?",
        "Here comes another one!",
    ]


def test_long_sentences_are_cut_at_commas_and_the_first_one_early() -> None:
    phrases = script(", ".join(["this clause goes on for quite some time"] * 60)).phrases
    lengths = [sum(len(token.spoken) + 1 for token in phrase.tokens) for phrase in phrases]
    assert lengths[0] <= LONGEST_FIRST
    assert max(lengths) <= LONGEST
    assert all(phrase.tokens[-1].mark == "," for phrase in phrases[:-1])


def test_a_text_without_any_punctuation_is_cut_too() -> None:
    phrases = script("endless words without a stop " * 60).phrases
    assert len(phrases) > 3
    assert max(sum(len(t.spoken) + 1 for t in p.tokens) for p in phrases) <= LONGEST


def test_markup_changes_rate_pause_and_pronunciation() -> None:
    text = (
        '<speak>One<break time="700ms"/><prosody rate="slow">two</prosody> '
        '<phoneme alphabet="ipa" ph="pˈiən">Pecan</phoneme> '
        '<say-as interpret-as="characters">ab1</say-as></speak>'
    )
    found = script(text)
    assert found.phrases[0].pause >= 0.7
    assert found.phrases[1].rate == 0.75
    last = found.phrases[-1].tokens
    assert last[0].spoken == "pˈiən"
    assert last[0].written == "Pecan"
    assert last[1].said.split() == ["A", "B", "one"]


def test_plain_text_with_angle_brackets_is_not_markup() -> None:
    assert parse_markup("if a < b & c > d") == [Span("if a < b & c > d")]
    assert parse_markup('wait <break time="1.5s"/> here')[1] == Break(1.5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<speak>open", "not well-formed"),
        ("<speak><audio src='x'/></speak>", "<audio> is not supported"),
        ('<speak><break time="1h"/>x</speak>', "not a time"),
        ('<speak><break time="60s"/>x</speak>', "at most 10"),
        ('<speak><prosody rate="900%">x</prosody></speak>', "from 0.5 to 2"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><speak>&a;</speak>", "document type"),
        ("", "empty"),
        ("  \n ", "empty"),
        ("?! ... —", "no word"),
        ("🙂🙂", "no word"),
    ],
)
def test_what_cannot_be_spoken_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidOption, match=reason):
        script(text)


def test_limits_of_length_and_rate() -> None:
    with pytest.raises(TextTooLong, match=r"5,001 characters; at most 5,000"):
        script("a" * 5001)
    with pytest.raises(InvalidOption, match=r"from 0\.5 to 2"):
        script("hello", rate=3.0)
    assert script("a " * 2500).phrases


def test_pictures_are_left_out_with_a_warning() -> None:
    found = script("Good 🙂 morning 👍🏽")
    assert [token.written for token in found.phrases[0].tokens] == ["Good", "morning"]
    assert "not spoken" in found.warnings[0]


def test_voices_are_found_by_name_alias_and_language() -> None:
    assert find_voice("BM_George", "", KOKORO_VOICES).id == "bm_george"
    assert find_voice("alloy", "", KOKORO_VOICES).id == "af_alloy"
    assert find_voice("", "en-GB", KOKORO_VOICES).language == "en-gb"
    assert find_voice("", "es", KOKORO_VOICES).id == "ef_dora"
    assert find_voice("", "es-MX", KOKORO_VOICES).id == "ef_dora"
    with pytest.raises(InvalidOption, match="Did you mean af_heart"):
        find_voice("af_hart", "", KOKORO_VOICES)
    with pytest.raises(InvalidOption, match="speaks Spanish, not en"):
        find_voice("ef_dora", "en", KOKORO_VOICES)
    with pytest.raises(InvalidOption, match="No voice here speaks 'tlh'"):
        find_voice("", "tlh", KOKORO_VOICES)
