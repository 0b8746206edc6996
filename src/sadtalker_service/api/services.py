"""What the routes call: stores, front video_service, inspector. It lives as long as the application."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Generic, TypeVar

from fastapi import Request

from sadtalker_service.api.queue_stats import QueueStatsCache
from sadtalker_service.api.shutdown import Drain
from sadtalker_service.api.upload.receiving import sweep
from sadtalker_service.jobs.celery_app import make_app
from sadtalker_service.jobs.dispatch import CeleryDispatch, Dispatch
from sadtalker_service.jobs.stores import Stores
from sadtalker_service.media.inspection import AudioFacts, Inspector, Limits
from sadtalker_service.settings import Settings
from sadtalker_service.state.async_sessions import AsyncSessions
from sadtalker_service.store.connections import connect_async, connect_async_shared, run_dir

_RECORDINGS_KNOWN = 2_000
"""Recordings of which the length is remembered."""

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """The last so many values, by name. For the event loop's thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, Value] = OrderedDict()

    def get(self, name: str) -> Value | None:
        """The value, or None."""
        if name in self._values:
            self._values.move_to_end(name)
        return self._values.get(name)

    def put(self, name: str, value: Value) -> None:
        """Remember `value`; the one asked for longest ago makes room."""
        self._values[name] = value
        while len(self._values) > self._most:
            self._values.popitem(last=False)


class Services(Stores):
    """Everything behind the routes. Nothing is connected before it is needed: the servers may come later."""

    def __init__(self, settings: Settings, drain: Drain, dispatch: Dispatch | None = None) -> None:
        """Raises `StoreMisconfigured`."""
        super().__init__(settings)
        self.drain = drain
        self.video_service = self.make_video_service(dispatch or CeleryDispatch(make_app(settings), settings))
        self.queue_async = connect_async(self.urls.queue)
        self.polls_client = connect_async_shared(self.urls.queue)
        """What `polls` asks through."""
        self.cache_async = connect_async(self.urls.cache, retries=False)
        self.polls = AsyncSessions(self.polls_client, settings)
        self.queue_stats_cache = QueueStatsCache(self.polls, time.monotonic)
        self.inspector = Inspector(inspection_limits(settings))
        self.uploads = run_dir(settings) / "uploads"
        """Folder of files that are being received."""
        sweep(self.uploads)
        self.recordings: Remembered[AudioFacts] = Remembered(_RECORDINGS_KNOWN)
        """sha256 -> what was found out about a recording: the same one again is not decoded again."""

    async def aclose(self) -> None:
        """Close every connection, end the inspector's processes."""
        self.inspector.close()
        for client in (self.queue_async, self.polls_client, self.cache_async):
            await client.aclose()
        self.close()


def inspection_limits(settings: Settings) -> Limits:
    """What an upload may be."""
    return Limits(
        max_image_bytes=settings.max_image_bytes,
        max_image_pixels=settings.max_image_pixels,
        max_audio_bytes=settings.max_audio_bytes,
        max_audio_seconds=settings.max_audio_seconds,
    )


def services_of(request: Request) -> Services:
    """Those of the application that answers `request`."""
    services: Services = request.app.state.services
    return services
