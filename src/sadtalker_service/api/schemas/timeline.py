"""Timelines over the wire."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from sadtalker_service.options.render_options import OPTION_SCHEMA


class TimelineForm(BaseModel):
    """The form with which a timeline is asked for."""

    model_config = ConfigDict(extra="allow")

    audio_file: bytes = Field(
        description="Driven audio of at most two minutes: any audio or video file.",
        json_schema_extra={"type": "string", "format": "binary"},
    )
    audio_track: int | None = Field(
        None,
        description=OPTION_SCHEMA["audio_track"]["description"],
        json_schema_extra={"type": "integer", "minimum": 1},
    )
    seed: int = Field(0, description="Equal seeds give equal blinks.")


class CueOnTheWire(BaseModel):
    """The mouth at a moment."""

    at: float = Field(ge=0, description="Seconds.")
    shapes: dict[str, float] = Field(
        description="Viseme -> its share. The names are those of an avatar's `visemes`.",
        examples=[{"aa": 0.7, "E": 0.3}],
    )


class TimelineAnswer(BaseModel):
    """What a face does while it speaks the driven audio."""

    duration: float = Field(ge=0, description="Seconds.")
    cues: list[CueOnTheWire] = Field(
        description="In the order of time, the first at 0. Between two cues the shares change linearly."
    )
    blinks: list[float] = Field(description="Seconds at which a blink begins. It takes 0.28 s.")
    warnings: list[str] = Field(description="What was left out or guessed.")
