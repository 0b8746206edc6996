"""The voice of a request, where it names one, or a language, or neither."""

from __future__ import annotations

from dataclasses import replace

from sadtalker_service.domain import SpokenText
from sadtalker_service.speech.voices.speaker import choose_voice

AUTO = "auto"


def resolve(spoken: SpokenText, language: str, default: str) -> SpokenText:
    """`spoken` with the id of a voice that is installed here.

    `default` is the voice of the settings, for a request without voice and language. Raises `InvalidOption`,
    `EngineUnavailable`.
    """
    wanted = spoken.voice.strip()
    if not wanted and not language.strip() and default != AUTO:
        wanted = default
    return replace(spoken, voice=choose_voice(wanted, language).id)
