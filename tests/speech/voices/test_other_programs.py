"""Voices and readers of programs beside the service: espeak-ng and flite, where they are installed."""

from __future__ import annotations

from unicodedata import normalize

import numpy as np
import pytest

from sadtalker_service.domain import SpokenText
from sadtalker_service.errors import InvalidOption
from sadtalker_service.speech.phonemes import SILENCE
from sadtalker_service.speech.visemes import visemes_of
from sadtalker_service.speech.voices import espeak, flite
from sadtalker_service.speech.voices.kokoro import label_of, sounds_of
from sadtalker_service.speech.voices.kokoro_model import SOUNDS
from sadtalker_service.speech.voices.port import VOICE_RATE
from sadtalker_service.speech.voices.speaker import read_text, recite

needs_espeak = pytest.mark.skipif(not espeak.is_installed(), reason="espeak-ng is not installed")
needs_flite = pytest.mark.skipif(not flite.is_installed(), reason="flite is not installed")


@needs_espeak
@pytest.mark.parametrize(
    ("voice", "text", "sounds", "said"),
    [
        ("ff_siwis", "Oui, les amis ont 21 chats.", "wˈi, lez amˈi ˈɔ̃ vˈɛ̃teœ̃ ʃˈa.", "vingt-et-un"),
        ("if_sara", "Ciao, ho 3,5 euro.", "ʧˈao, o trˈe vˈirɡola ʧˈinkwe ˈɛʊro.", "tre virgola cinque"),
        ("pf_dora", "O gato e 3,5.", "ʊ ɡˈatw i trˈez vˈiɾəɡulæ sˈiŋkʊ.", "três vírgula cinco"),
        ("hf_alpha", "नमस्ते, 21 किताबें।", "nəmˈʌsteː, ɪkːˈiːs kɪtˈaːbẽː.", "इक्कीस"),
    ],
)
def test_languages_are_read_by_espeak(voice: str, text: str, sounds: str, said: str) -> None:
    (phrase,) = read_text(SpokenText(text, voice)).phrases
    assert normalize("NFD", sounds_of(phrase.tokens)[0]) == normalize("NFD", sounds)
    assert said in [token.said for token in phrase.tokens]


@needs_espeak
@pytest.mark.parametrize(
    ("voice", "text"),
    [
        (
            "ff_siwis",
            "Le 14 juillet, les oiseaux chantent dans un vieux jardin près de l'église où l'on rêve.",
        ),
        ("im_nicola", "Gli gnocchi e lo zucchero; perché no? Sciogliere l'azzurro, quindici e mezzo."),
        (
            "pm_alex",
            "O coração não esquece: amanhã trabalho com o senhor Guimarães em São Paulo, às 8 horas.",
        ),
        ("hm_omega", "यह एक छोटा वाक्य है। क्या आप ठीक हैं? धन्यवाद, फिर मिलेंगे!"),
    ],
)
def test_sounds_of_the_languages_are_known_to_voice_and_lips(voice: str, text: str) -> None:
    for phrase in read_text(SpokenText(text, voice)).phrases:
        spoken = "".join(token.spoken for token in phrase.tokens)
        assert set(spoken) <= SOUNDS, set(spoken) - SOUNDS
        for sound in set(spoken) - set(" ˈˌː̃ʰʲ"):
            assert visemes_of(label_of(sound)) != ("sil",), sound


@needs_espeak
def test_letters_of_another_script_are_refused_with_the_word() -> None:
    with pytest.raises(InvalidOption, match="Привет"):
        read_text(SpokenText("Bonjour Привет", "ff_siwis"))


@needs_espeak
def test_a_language_of_espeak_is_spoken(say) -> None:
    samples, timeline = say("Bonjour, mon ami.", "ff_siwis")
    assert 0.7 < len(samples) / VOICE_RATE < 2.5
    assert [word.label for word in timeline.words] == ["Bonjour,", "mon", "ami."]
    assert [one.label for one in timeline.phonemes if one.label != SILENCE].count("m") == 2


@needs_flite
def test_flite_tells_the_times_of_its_phonemes() -> None:
    samples, timeline = recite(read_text(SpokenText("Mama, come back.", "flite_slt")))
    length = len(samples) / VOICE_RATE
    assert [word.label for word in timeline.words] == ["Mama,", "come", "back."]
    labels = [one.label.lower() for one in timeline.phonemes]
    assert [labels.count(sound) for sound in ("m", "b", "k")] == [3, 1, 2]
    assert all(visemes_of(label.upper()) != ("sil",) for label in labels if label != SILENCE.lower())
    ends = [one.end for one in timeline.phonemes]
    assert ends == sorted(ends)
    assert ends[-1] == pytest.approx(length, abs=0.1)
    # a closed mouth is quieter than the vowel after it
    loudness = _loudness(samples)
    for before, after in zip(timeline.phonemes, timeline.phonemes[1:], strict=False):
        if before.label.lower() == "b":
            assert loudness(before.start, before.end) < 0.9 * loudness(after.start, after.end)


@needs_flite
def test_flite_speaks_faster_on_request() -> None:
    usual, fast = (recite(read_text(SpokenText("One two three.", "flite_rms", r)))[0] for r in (1.0, 1.5))
    assert 0.55 < len(fast) / len(usual) < 0.85


@needs_espeak
@pytest.mark.parametrize(("voice", "text"), [("espeak_fr", "Bonjour à tous."), ("espeak_hi", "नमस्ते दोस्त।")])
def test_espeak_speaks_and_its_words_cover_the_sound(voice: str, text: str) -> None:
    samples, timeline = recite(read_text(SpokenText(text, voice)))
    assert np.abs(samples).max() > 0.05
    assert timeline.phonemes == ()  # lips follow by recognition
    assert [word.label.rstrip(".") for word in timeline.words] == text.rstrip(".।").split()
    assert 0 <= timeline.words[0].start < timeline.words[-1].end <= len(samples) / VOICE_RATE


def _loudness(samples):
    return lambda start, end: float(
        np.sqrt(np.mean(samples[int(start * VOICE_RATE) : int(end * VOICE_RATE)] ** 2))
    )
