"""How long a job may take before its process is ended: what hangs must not hold a worker for ever."""

from __future__ import annotations

from sadtalker_service.errors import TimeLimitExceeded
from sadtalker_service.settings import Settings


def job_limit(settings: Settings, video_seconds: float) -> float:
    """Seconds that making a video of this length may take, from the start of the attempt."""
    return settings.job_base_seconds + settings.job_seconds_per_second * video_seconds


def longest_job(settings: Settings) -> float:
    """Seconds that the longest job that is ever accepted may take."""
    return job_limit(settings, max(settings.max_audio_seconds, settings.max_idle_seconds))


def too_long(limit: float) -> TimeLimitExceeded:
    """What a session ends with that took longer than its limit, seconds."""
    return TimeLimitExceeded(
        f"Making the video took longer than its time limit of {limit:.0f} s. Ask for a shorter one, or again"
        " when the service has less to do."
    )
