"""The objects behind the routes: stores, the video service, the inspector. They live as long as the app."""

from __future__ import annotations

import time

from cachetools import LRUCache
from fastapi import Request

from sadtalker_service.api.queue_stats import QueueStatsCache
from sadtalker_service.api.shutdown import Drain
from sadtalker_service.api.speech_desk import SpeechDesk
from sadtalker_service.api.upload.receiving import sweep
from sadtalker_service.jobs.celery_app import make_app
from sadtalker_service.jobs.dispatch import CeleryDispatch, Dispatch
from sadtalker_service.jobs.stores import Stores
from sadtalker_service.media.inspection import AudioFacts, Inspector, Limits
from sadtalker_service.pipeline.timelines import Timelines
from sadtalker_service.settings import Settings
from sadtalker_service.state.async_sessions import AsyncSessions
from sadtalker_service.state.endings import Endings
from sadtalker_service.state.live_sessions import AsyncLiveSessions
from sadtalker_service.store.connections import connect_async, connect_async_shared, run_dir

_KNOWN_AUDIOS = 2_000
"""Number of audio files whose facts are kept."""


class Services(Stores):
    """Everything behind the routes. Connections open on first use, so servers may start later."""

    def __init__(self, settings: Settings, drain: Drain, dispatch: Dispatch | None = None) -> None:
        """Raises `StoreMisconfigured`."""
        super().__init__(settings)
        self.drain = drain
        self.video_service = self.make_video_service(dispatch or CeleryDispatch(make_app(settings), settings))
        self.queue_async = connect_async(self.urls.queue)
        self.endings_client = connect_async(self.urls.queue)
        """Separate connection for `endings`, which blocks while it waits for events."""
        self.endings = Endings(self.endings_client)
        self.polls_client = connect_async_shared(self.urls.queue)
        """Connection of `polls`."""
        self.cache_async = connect_async(self.urls.cache, retries=False)
        self.polls = AsyncSessions(self.polls_client, settings)
        self.live_polls = AsyncLiveSessions(self.polls_client, settings)
        self.queue_stats_cache = QueueStatsCache(self.polls, time.monotonic)
        self.inspector = Inspector(inspection_limits(settings))
        self.speech_desk = SpeechDesk(settings, lambda: self.cache)
        self.timelines = Timelines(settings.max_audio_bytes)
        self.uploads = run_dir(settings) / "uploads"
        """Folder for files that are being received."""
        sweep(self.uploads)
        self.audio_facts: LRUCache[str, AudioFacts] = LRUCache(_KNOWN_AUDIOS)
        """sha256:track -> facts about a driven audio, so that a known one is not decoded again. Used only in
        the event loop's thread."""

    async def aclose(self) -> None:
        """Close every connection and stop the inspector's processes."""
        self.inspector.close()
        self.speech_desk.close()
        self.timelines.close()
        for client in (self.queue_async, self.endings_client, self.polls_client, self.cache_async):
            await client.aclose()
        self.close()


_INSPECTED = 0.05
"""Seconds that the inspection of a second of sound may take: ten times as long as it takes."""


def inspection_limits(settings: Settings) -> Limits:
    """The limits on uploads."""
    return Limits(
        max_image_bytes=settings.max_image_bytes,
        max_image_pixels=settings.max_image_pixels,
        max_audio_bytes=settings.max_audio_bytes,
        max_audio_seconds=settings.max_audio_seconds,
        timeout=max(Limits.timeout, _INSPECTED * settings.max_audio_seconds),
    )


def services_of(request: Request) -> Services:
    """The services of the application that answers `request`."""
    services: Services = request.app.state.services
    return services
