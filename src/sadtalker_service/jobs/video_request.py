"""What the API asks the video service for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sadtalker_service.domain import SoundReading, SpokenText
from sadtalker_service.options import RenderOptions
from sadtalker_service.state.records import Lane


@dataclass(frozen=True)
class VideoRequest:
    """A request for a video, its fields read and its files on disk."""

    lane: Lane
    image_id: str
    options: RenderOptions
    audio_id: str | None
    """sha256 of the recording; None for an idle video."""
    audio_path: Path | None
    """The recording's file; None for an idle video and for a text."""
    audio_seconds: float
    """Length of the recording, or of the idle video."""
    audio_reading: SoundReading | None = None
    """How its sound is read, as its inspection found."""
    spoken: SpokenText | None = None
    """A text in place of a recording; then `audio_id` names it, and `audio_seconds` is an estimate."""
    transcript: str = ""
    """The words of the recording, for captions."""
    engine: str | None = None
    """Name of an engine; None for the default one."""
    ref_eyeblink: tuple[str, Path] | None = None
    """sha256 and file of a reference video."""
    ref_pose: tuple[str, Path] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The request's fields as they were given."""
    warnings: tuple[str, ...] = ()
    explain_height: bool = False
    """Whether to warn where the source image is too small for the quality: it was asked for."""
    callback_url: str | None = None
    user_data: str | None = None
    request_id: str | None = None
    received_at: float | None = None
    """When the whole of it had come in, seconds since 1970; None for now."""
