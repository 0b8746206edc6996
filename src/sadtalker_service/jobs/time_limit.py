"""Time limits of jobs, so that a job that hangs does not block a worker for ever."""

from __future__ import annotations

from sadtalker_service.errors import TimeLimitExceeded
from sadtalker_service.settings import Settings


def job_limit(settings: Settings, video_seconds: float) -> float:
    """Seconds allowed for a video of this length, from the start of the attempt."""
    return settings.job_base_seconds + settings.job_seconds_per_second * video_seconds


def longest_job(settings: Settings) -> float:
    """Seconds allowed for the longest job that the service accepts."""
    return job_limit(settings, max(settings.max_audio_seconds, settings.max_idle_seconds))


def too_long(limit: float) -> TimeLimitExceeded:
    """The error of a session that exceeded its limit of `limit` seconds."""
    return TimeLimitExceeded(
        f"Rendering the video took longer than its time limit of {limit:.0f} s. Use a shorter audio file, or"
        " try again when the service is less busy."
    )
