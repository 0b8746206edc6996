"""A request from the API to the video service."""

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
    """A request for a video, with parsed fields and its files on disk."""

    lane: Lane
    image_id: str
    options: RenderOptions
    audio_id: str | None
    """SHA-256 of the driven audio; None for an idle video."""
    audio_path: Path | None
    """File of the driven audio; None for an idle video and for a text."""
    audio_seconds: float
    """Length of the driven audio, or of the idle video."""
    audio_reading: SoundReading | None = None
    """How the audio is read, according to its inspection."""
    spoken: SpokenText | None = None
    """A text in place of driven audio; then `audio_id` names it, and `audio_seconds` is an estimate."""
    transcript: str = ""
    """The words of the driven audio, for captions."""
    engine: str | None = None
    """Name of an engine; None for the default one."""
    ref_eyeblink: tuple[str, Path] | None = None
    """SHA-256 and file of a reference video."""
    ref_pose: tuple[str, Path] | None = None
    background: tuple[str, Path] | None = None
    """SHA-256 and file of the picture that `options.background` names."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The fields of the request, for display."""
    warnings: tuple[str, ...] = ()
    explain_height: bool = False
    """Whether to warn if the source image is too small for the quality, because the quality was given."""
    callback_url: str | None = None
    user_data: str | None = None
    request_id: str | None = None
    received_at: float | None = None
    """When it had arrived completely, seconds since 1970; None for now."""
