"""The voices there are: ids, languages, and the names that clients of other services use."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from sadtalker_service.domain import JsonRecord
from sadtalker_service.errors import InvalidOption
from sadtalker_service.speech.voices.tables import words_in

Source = Literal["kokoro", "flite", "espeak"]


@dataclass(frozen=True)
class VoiceCard(JsonRecord):
    """A voice as it is listed."""

    id: str
    name: str
    language: str
    """BCP 47 tag, in lower case: `en-us`."""
    gender: Literal["female", "male", "neutral"]
    source: Source
    """What speaks: the network Kokoro, or a program that is installed."""


LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        "en-us": "English (United States)",
        "en-gb": "English (United Kingdom)",
        "es": "Spanish",
        "fr": "French",
        "hi": "Hindi",
        "it": "Italian",
        "pt-br": "Portuguese (Brazil)",
        "ja": "Japanese",
        "zh": "Chinese",
    }
)
"""Language tag -> its name."""

_FIRST_LETTERS = {"a": "en-us", "b": "en-gb", "e": "es", "f": "fr", "h": "hi", "i": "it", "p": "pt-br"}
_KOKORO = words_in(
    "af_heart af_alloy af_aoede af_bella af_jessica af_kore af_nicole af_nova af_river af_sarah af_sky"
    " am_adam am_echo am_eric am_fenrir am_liam am_michael am_onyx am_puck am_santa"
    " bf_emma bf_alice bf_isabella bf_lily bm_george bm_daniel bm_fable bm_lewis"
    " ef_dora em_alex em_santa ff_siwis hf_alpha hf_beta hm_omega hm_psi if_sara im_nicola"
    " pf_dora pm_alex pm_santa"
)
"""The best one of each language first. The Japanese and Chinese voices are left out: see docs/voices.md."""


def _kokoro_card(voice: str) -> VoiceCard:
    gender: Literal["female", "male"] = "female" if voice[1] == "f" else "male"
    return VoiceCard(voice, voice[3:].capitalize(), _FIRST_LETTERS[voice[0]], gender, "kokoro")


KOKORO_VOICES = tuple(_kokoro_card(voice) for voice in _KOKORO)
FLITE_VOICES = (
    VoiceCard("flite_slt", "Slt (flite)", "en-us", "female", "flite"),
    VoiceCard("flite_rms", "Rms (flite)", "en-us", "male", "flite"),
)
ESPEAK_VOICES = tuple(
    VoiceCard(f"espeak_{tag.replace('-', '_')}", f"{name} (espeak-ng)", tag, "neutral", "espeak")
    for tag, name in LANGUAGES.items()
    if tag not in {"ja", "zh"}
)

_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "alloy": "af_alloy",
        "ash": "am_michael",
        "ballad": "bm_george",
        "cedar": "am_fenrir",
        "coral": "af_bella",
        "echo": "am_echo",
        "fable": "bm_fable",
        "marin": "af_heart",
        "nova": "af_nova",
        "onyx": "am_onyx",
        "sage": "af_sarah",
        "shimmer": "af_sky",
        "verse": "am_puck",
        "default": "af_heart",
    }
)
"""Names of OpenAI's voices -> the voice here that is used for them."""


def find_voice(voice: str, language: str, voices: Sequence[VoiceCard], param: str = "voice") -> VoiceCard:
    """The voice called `voice`, or without a name the first one that speaks `language`.

    A language may be given in full (`en-US`) or by its first part (`en`). Raises `InvalidOption` for a voice
    or a language that is not among `voices`, and for a voice that does not speak the language.
    """
    wanted = voice.strip().lower()
    tag = _language(language, voices)
    if not wanted:
        return next(card for card in voices if tag is None or _speaks(card, tag))
    known = {card.id: card for card in voices}
    card = known.get(wanted) or known.get(_ALIASES.get(wanted, "")) or _standing_in(wanted, voices)
    if card is None:
        near = difflib.get_close_matches(wanted, [*known, *_ALIASES], 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InvalidOption(
            f"There is no voice called {voice.strip()[:60]!r}.{hint} GET /api/voices lists the voices.",
            param=param,
        )
    if tag is not None and not _speaks(card, tag):
        raise InvalidOption(
            f"The voice {card.id} speaks {LANGUAGES[card.language]}, not {tag}. Leave out the voice or the"
            " language.",
            param="language",
        )
    return card


def _standing_in(wanted: str, voices: Sequence[VoiceCard]) -> VoiceCard | None:
    """For one of OpenAI's names where Kokoro is not installed: any voice of this machine."""
    return voices[0] if wanted in _ALIASES else None


def _language(text: str, voices: Sequence[VoiceCard]) -> str | None:
    tag = text.strip().lower().replace("_", "-")
    if not tag:
        return None
    for card in voices:
        if _speaks(card, tag):
            return tag
    base = tag.partition("-")[0]
    if any(_speaks(card, base) for card in voices):
        return base
    spoken = dict.fromkeys(card.language for card in voices)
    raise InvalidOption(
        f"No voice here speaks {text.strip()[:40]!r}; there are voices for {', '.join(spoken)}.",
        param="language",
    )


def _speaks(card: VoiceCard, tag: str) -> bool:
    return card.language == tag or card.language.partition("-")[0] == tag
