"""Voices, and texts that are spoken, over the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sadtalker_service.speech.voices.markup import FASTEST, SLOWEST
from sadtalker_service.speech.voices.speaker import MOST_CHARACTERS

SpeechFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


class VoiceEntry(BaseModel):
    """A voice."""

    id: str = Field(examples=["af_heart"], description="For the field `voice`.")
    name: str = Field(examples=["Heart"])
    language: str = Field(examples=["en-us"])
    language_name: str = Field(examples=["English (United States)"])
    gender: Literal["female", "male", "neutral"]
    source: str = Field(examples=["kokoro"], description="What speaks: `kokoro`, `flite` or `espeak`.")
    sample_url: str = Field(examples=["/api/voices/af_heart/sample"], description="A sentence of it, as mp3.")


class Voices(BaseModel):
    """The voices that can speak here."""

    default: str | None = Field(description="The voice of a text that names none; null if there is no voice.")
    voices: list[VoiceEntry]
    missing: list[str] = Field(
        description="Languages that Kokoro speaks and that cannot be read here, and why."
    )


class SpeechRequest(BaseModel):
    """A text to be spoken, as OpenAI's `POST /v1/audio/speech` has it."""

    model_config = ConfigDict(extra="ignore")

    input: str = Field(
        min_length=1,
        max_length=MOST_CHARACTERS,
        description="The text, plain or with SSML.",
        examples=["Hello!"],
    )
    model: str = Field("", description="Accepted and not used: the voice says which network speaks.")
    voice: str = Field(
        "", description="Id of a voice, or one of OpenAI's names; empty: the default.", examples=["af_heart"]
    )
    response_format: SpeechFormat = "mp3"
    speed: float = Field(1.0, ge=SLOWEST, le=FASTEST, description="How fast.")
    language: str = Field(
        "", description="In place of a voice: the first one that speaks it.", examples=["es"]
    )
    stream_format: Literal["audio", "sse"] = Field(
        "audio", description="`sse`: events with pieces of the file in base64."
    )
