"""How long a job may take before its process is ended: what hangs must not hold a worker for ever."""

from __future__ import annotations

from sadtalker_service.settings import Settings


def job_limit(settings: Settings, video_seconds: float) -> float:
    """Seconds that making a video of this length may take, from the start of the attempt."""
    return settings.job_base_seconds + settings.job_seconds_per_second * video_seconds


def longest_job(settings: Settings) -> float:
    """Seconds that the longest job that is ever accepted may take."""
    return job_limit(settings, max(settings.max_audio_seconds, settings.max_idle_seconds))
