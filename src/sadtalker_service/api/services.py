"""What the routes call: stores, the video service, the inspector. Lives as long as the application."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import redis
import redis.asyncio
from cachetools import LRUCache
from fastapi import Request

from sadtalker_service.api.queue_stats import QueueStatsCache
from sadtalker_service.api.shutdown import Drain
from sadtalker_service.api.upload.receiving import sweep
from sadtalker_service.jobs.celery_app import make_app
from sadtalker_service.jobs.dispatch import CeleryDispatch
from sadtalker_service.jobs.video_service import Dispatch, VideoService
from sadtalker_service.media.inspection import AudioFacts, Inspector, Limits
from sadtalker_service.settings import Settings
from sadtalker_service.state.async_sessions import AsyncSessions
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.endings import Endings
from sadtalker_service.state.idempotency import IdempotencyKeys
from sadtalker_service.state.registry import EngineRegistry, WorkerRegistry
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.statistics import Statistics
from sadtalker_service.store.artefact_store import ArtefactStore, artefact_url
from sadtalker_service.store.connections import (
    connect,
    connect_async,
    connect_async_shared,
    run_dir,
    store_urls,
)
from sadtalker_service.store.redis_cache import RedisCache

_RECORDINGS_KNOWN = 2_000
"""Recordings of which the length is remembered."""


@dataclass(frozen=True)
class Services:
    """Everything behind the routes."""

    settings: Settings
    video_service: VideoService
    sessions: SessionStore
    avatars: AvatarStore
    statistics: Statistics
    engines: EngineRegistry
    workers: WorkerRegistry
    idempotency: IdempotencyKeys
    artefacts: ArtefactStore
    cache: RedisCache
    inspector: Inspector
    queue: redis.Redis
    cache_client: redis.Redis
    queue_async: redis.asyncio.Redis
    endings_client: redis.asyncio.Redis
    """What `endings` waits through: a connection of its own, whoever else waits for events."""
    endings: Endings
    polls_client: redis.asyncio.Redis
    """What `polls` asks through."""
    cache_async: redis.asyncio.Redis
    polls: AsyncSessions
    queue_stats_cache: QueueStatsCache
    drain: Drain
    uploads: Path
    """Folder of files that are being received."""
    recordings: LRUCache[str, AudioFacts]
    """sha256:track -> what was found out about a recording: the same one again is not decoded again.
    For the event loop's thread."""

    async def close(self) -> None:
        """Close every connection, end the inspector's processes."""
        self.inspector.close()
        await self.queue_async.aclose()
        await self.endings_client.aclose()
        await self.polls_client.aclose()
        await self.cache_async.aclose()
        self.queue.close()
        self.cache_client.close()


def open_services(settings: Settings, drain: Drain, dispatch: Dispatch | None = None) -> Services:
    """The services of `settings`. Nothing is connected before it is needed: the stores may come later.

    Raises `StoreMisconfigured` where the folder for sockets cannot be made.
    """
    urls = store_urls(settings)
    queue, cache_client = connect(urls.queue), connect(urls.cache, retries=False)
    uploads = run_dir(settings) / "uploads"
    sweep(uploads)
    sessions, avatars = SessionStore(queue, settings), AvatarStore(queue)
    statistics, engines = Statistics(queue), EngineRegistry(queue)
    artefacts, cache = ArtefactStore(artefact_url(settings)), RedisCache(cache_client)
    video_service = VideoService(
        sessions=sessions,
        avatars=avatars,
        engines=engines,
        statistics=statistics,
        artefacts=artefacts,
        cache=cache,
        dispatch=dispatch or CeleryDispatch(make_app(settings), settings),
    )
    queue_async = connect_async(urls.queue)
    endings_client = connect_async(urls.queue)
    polls_client = connect_async_shared(urls.queue)
    polls = AsyncSessions(polls_client, settings)
    return Services(
        settings=settings,
        video_service=video_service,
        sessions=sessions,
        avatars=avatars,
        statistics=statistics,
        engines=engines,
        workers=WorkerRegistry(queue),
        idempotency=IdempotencyKeys(queue, settings),
        artefacts=artefacts,
        cache=cache,
        inspector=Inspector(inspection_limits(settings)),
        queue=queue,
        cache_client=cache_client,
        queue_async=queue_async,
        endings_client=endings_client,
        endings=Endings(endings_client),
        polls_client=polls_client,
        cache_async=connect_async(urls.cache, retries=False),
        polls=polls,
        queue_stats_cache=QueueStatsCache(polls, time.monotonic),
        drain=drain,
        uploads=uploads,
        recordings=LRUCache(_RECORDINGS_KNOWN),
    )


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
