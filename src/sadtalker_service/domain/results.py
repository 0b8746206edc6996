"""JSON records about a video: its progress and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sadtalker_service.domain.records import JsonRecord
from sadtalker_service.domain.spoken import TimedLabel


@dataclass(frozen=True)
class Progress(JsonRecord):
    """Progress of a video."""

    stage: str
    """Name of the engine's stage, or `speech_features`, `drive`, `render`."""
    frame: int = 0
    """Frames rendered so far."""
    total: int = 0
    """Frames of the whole video, 0 until known."""
    fps: float = 0.0
    """Frames rendered per second since rendering began."""
    eta_seconds: float | None = None
    """Seconds until the last frame at that speed, None until the speed is known."""

    @property
    def percent(self) -> float:
        """0..100, of the frames."""
        return 100.0 * self.frame / self.total if self.total else 0.0


@dataclass(frozen=True)
class VideoResult(JsonRecord):
    """A finished video and the measured times of its rendering."""

    engine: str = field(default="", kw_only=True)
    """Name of the engine; empty for videos of an earlier version, which did not store it."""
    width: int
    height: int
    fps: int
    frames: int
    video_seconds: float
    """Length of the video."""
    size_bytes: int
    total_seconds: float
    """From the opened input to the finished file. For a job, from its start to the published video."""
    seconds: Mapping[str, float]
    """Stage -> seconds. The encoder's stages (`encode`, `sound`, `mux`, `starve`) run in parallel."""
    saved_seconds: float
    """Time that computing the cached artefacts took, minus the time for loading them."""
    cache_hits: tuple[str, ...] = ()
    """Kinds of artefacts that were loaded from the cache."""
    cache_misses: tuple[str, ...] = ()
    """Kinds of artefacts that were computed."""
    warnings: tuple[str, ...] = ()
    """Options that were not applied, and other remarks."""
    words: tuple[TimedLabel, ...] = ()
    """The words that are spoken, for captions; empty if their times are not known."""

    @property
    def real_time_factor(self) -> float:
        """Seconds of video per second of work. Above 1 is faster than real time."""
        return self.video_seconds / self.total_seconds if self.total_seconds > 0 else float("inf")
