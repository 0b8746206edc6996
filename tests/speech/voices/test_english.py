"""How English is read."""

from __future__ import annotations

import pytest

from sadtalker_service.errors import InvalidOption
from sadtalker_service.speech.voices.english import EnglishReader
from sadtalker_service.speech.voices.kokoro_model import SOUNDS

US, GB = EnglishReader.load(british=False), EnglishReader.load(british=True)


def said(text: str, reader: EnglishReader = US) -> str:
    return " ".join(" ".join(token.said for token in reader.read(text)).split()).lower()


def sound_of(text: str, word: str, reader: EnglishReader = US) -> str:
    return next(token.spoken for token in reader.read(text) if token.written == word)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "It cost $3.50 or €2 or £1.01.",
            "it cost three dollars and fifty cents or two euros or one pound and one penny",
        ),
        ("$1.2 million was lost", "one point two million dollars was lost"),
        (
            "1,234,567 people",
            "one million two hundred and thirty four thousand five hundred and sixty seven people",
        ),
        (
            "Meet me at 3:05 p.m. on Jan. 5, 2024.",
            "meet me at three oh five p m on january fifth twenty twenty four",
        ),
        ("on 2024-12-31", "on december thirty first twenty twenty four"),
        (
            "in 1999, 2005 and the 1990s",
            "in nineteen ninety nine two thousand and five and the nineteen nineties",
        ),
        ("3/4 of 50% is -0.05", "three quarters of fifty percent is minus zero point zero five"),
        ("5km at 20°C, 60mph", "five kilometers at twenty degrees celsius sixty miles per hour"),
        ("10-20 kg, the 21st", "ten to twenty kilograms the twenty first"),
        (
            "Dr. Smith of St. Louis, e.g. on Main St.",
            "doctor smith of saint louis for example on main street",
        ),
        (
            "Call +1 415 555 2671.",
            "call one four one five five five five two six seven one",
        ),
        ("Henry VIII in World War II", "henry the eighth in world war two"),
        ("joe@example.com", "joe at example dot com"),
        ("GPT-4 & R2D2", "gpt four and r two d two"),
    ],
)
def test_numbers_dates_and_abbreviations_are_written_out(text: str, words: str) -> None:
    assert said(text) == words


def test_dates_are_read_in_the_order_of_the_variety() -> None:
    assert said("on 3/4/2024") == "on march fourth twenty twenty four"
    assert said("on 3/4/2024", GB) == "on the third of april twenty twenty four"


@pytest.mark.parametrize(
    ("text", "word", "sounds"),
    [
        ("I read it yesterday", "read", "ɹˈɛd"),
        ("I will read it", "read", "ɹˈid"),
        ("the wind is cold", "wind", "wˈɪnd"),
        ("please wind the clock", "wind", "wˈInd"),
        ("a new record", "record", "ɹˈɛkəɹd"),
        ("we record this", "record", "ɹəkˈɔɹd"),
        ("they live here", "live", "lˈɪv"),
        ("a live show", "live", "lˈIv"),
        ("the door is close", "close", "klˈOs"),
        ("please close the door", "close", "klˈOz"),
    ],
)
def test_heteronyms_follow_the_words_around_them(text: str, word: str, sounds: str) -> None:
    assert sound_of(text, word) == sounds


def test_initials_are_spelt_and_acronyms_are_read() -> None:
    assert sound_of("the FBI came", "FBI").count(" ") == 2
    assert sound_of("the NASA came", "NASA") == "nˈæsə"
    assert sound_of("J.K. Rowling", "J.K.") == "ʤˈA kˈA"


@pytest.mark.parametrize(
    "word", ["kubernetes", "blorptastic", "sadtalker", "zxqv", "naïve", "Straße", "xylorimba"]
)
def test_unknown_words_have_a_pronunciation_that_the_voice_knows(word: str) -> None:
    for reader in (US, GB):
        sounds = sound_of(f"the {word} is", word, reader)
        assert set(sounds) <= SOUNDS
        assert any(vowel in sounds for vowel in "AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻ")
        assert sounds.count("ˈ") >= 1


def test_endings_change_by_their_rules() -> None:
    assert sound_of("two kayaks", "kayaks").endswith("ks")
    assert sound_of("two zebras", "zebras").endswith("z")
    assert sound_of("he googled it", "googled").endswith("d")
    assert US.read("lip-synced")[0].spoken


def test_another_script_is_refused_with_the_word() -> None:
    with pytest.raises(InvalidOption, match=r"Cyrillic letters \(Привет\).*English"):
        US.read("Say Привет to them")
    assert said("about 5 µs and π") == "about five microseconds and pi"


def test_the_accents_differ() -> None:
    assert sound_of("a bath", "bath") == "bˈæθ"
    assert sound_of("a bath", "bath", GB) == "bˈɑːθ"
