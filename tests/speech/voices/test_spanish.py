"""How Spanish is read."""

from __future__ import annotations

import pytest

from sadtalker_service.errors import InvalidOption
from sadtalker_service.speech.voices.kokoro_model import SOUNDS
from sadtalker_service.speech.voices.spanish import SpanishReader, phonemes_of, said_of


@pytest.mark.parametrize(
    ("word", "sounds"),
    [
        ("hola", "ˈola"),
        ("guitarra", "ɡitˈara"),
        ("pequeña", "pekˈeɲa"),
        ("murciélago", "muɾθjˈelaɣo"),
        ("pingüino", "piŋɡwˈino"),
        ("general", "xeneɾˈal"),
        ("lluvia", "ʎˈuβja"),
        ("país", "paˈis"),
        ("rey", "rˈA"),
        ("perro", "pˈero"),
        ("pero", "peɾo"),
        ("árbol", "ˈaɾβol"),
        ("examen", "eksˈamen"),
    ],
)
def test_letters_become_sounds_with_their_stress(word: str, sounds: str) -> None:
    assert phonemes_of(word) == sounds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1.250", "mil doscientos cincuenta"),
        ("3,5", "tres punto cinco"),
        ("€20", "veinte euros"),
        ("10:30", "diez y treinta"),
        ("Sr.", "señor"),
        ("FBI", "efe be i"),
        ("OTAN", "otan"),
        ("50%", "cincuenta por ciento"),
    ],
)
def test_numbers_and_abbreviations_are_written_out(text: str, words: str) -> None:
    assert said_of(text) == words


def test_a_text_has_only_sounds_that_the_voice_knows() -> None:
    tokens = SpanishReader().read("¿Cómo está, Sr. López? Llegó el 3 de mayo de 2024 con Wifi y 20 €.")
    assert all(set(token.spoken) <= SOUNDS and token.spoken for token in tokens)
    assert [token.mark[:1] for token in tokens if token.mark] == [",", "?", "."]


def test_another_script_is_refused() -> None:
    with pytest.raises(InvalidOption, match="Greek"):
        SpanishReader().read("hola κόσμε")
