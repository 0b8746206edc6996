"""What the routes call: stores, front desk, inspector. It lives as long as the application."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import redis
import redis.asyncio
from fastapi import Request

from sadtalker_service.api.drain import Drain
from sadtalker_service.api.glance import QueueWatch
from sadtalker_service.api.uploads import sweep
from sadtalker_service.jobs.avatars import AvatarStore
from sadtalker_service.jobs.boards import EngineShelf, WorkerBoard
from sadtalker_service.jobs.celery_app import make_app
from sadtalker_service.jobs.dispatch import CeleryDispatch
from sadtalker_service.jobs.idempotency import IdempotencyKeys
from sadtalker_service.jobs.polls import SessionPolls
from sadtalker_service.jobs.sessions import SessionStore
from sadtalker_service.jobs.statistics import Statistics
from sadtalker_service.jobs.submissions import Dispatch, FrontDesk
from sadtalker_service.media.inspection import AudioFacts, Inspector, Limits
from sadtalker_service.settings import Settings
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


@dataclass(frozen=True)
class Services:
    """Everything behind the routes."""

    settings: Settings
    desk: FrontDesk
    sessions: SessionStore
    avatars: AvatarStore
    statistics: Statistics
    engines: EngineShelf
    workers: WorkerBoard
    idempotency: IdempotencyKeys
    artefacts: ArtefactStore
    cache: RedisCache
    inspector: Inspector
    queue: redis.Redis
    cache_client: redis.Redis
    queue_async: redis.asyncio.Redis
    polls_client: redis.asyncio.Redis
    """What `polls` asks through."""
    cache_async: redis.asyncio.Redis
    polls: SessionPolls
    watch: QueueWatch
    drain: Drain
    uploads: Path
    """Folder of files that are being received."""
    recordings: Remembered[AudioFacts]
    """sha256:track -> what was found out about a recording: the same one again is not decoded again."""

    async def close(self) -> None:
        """Close every connection, end the inspector's processes."""
        self.inspector.close()
        await self.queue_async.aclose()
        await self.polls_client.aclose()
        await self.cache_async.aclose()
        self.queue.close()
        self.cache_client.close()


def open_services(settings: Settings, drain: Drain, dispatch: Dispatch | None = None) -> Services:
    """The services of `settings`. Nothing is connected before it is needed: the stores may come later.

    Raises `StoreMisconfigured` where the folder for sockets cannot be made.
    """
    urls = store_urls(settings)
    queue, cache_client = connect(urls.queue), connect(urls.cache, patient=False)
    uploads = run_dir(settings) / "uploads"
    sweep(uploads)
    sessions, avatars = SessionStore(queue, settings), AvatarStore(queue)
    statistics, engines = Statistics(queue), EngineShelf(queue)
    artefacts, cache = ArtefactStore(artefact_url(settings)), RedisCache(cache_client)
    desk = FrontDesk(
        sessions=sessions,
        avatars=avatars,
        engines=engines,
        statistics=statistics,
        artefacts=artefacts,
        cache=cache,
        dispatch=dispatch or CeleryDispatch(make_app(settings), settings),
    )
    queue_async = connect_async(urls.queue)
    polls_client = connect_async_shared(urls.queue)
    polls = SessionPolls(polls_client, settings)
    return Services(
        settings=settings,
        desk=desk,
        sessions=sessions,
        avatars=avatars,
        statistics=statistics,
        engines=engines,
        workers=WorkerBoard(queue),
        idempotency=IdempotencyKeys(queue, settings),
        artefacts=artefacts,
        cache=cache,
        inspector=Inspector(inspection_limits(settings)),
        queue=queue,
        cache_client=cache_client,
        queue_async=queue_async,
        polls_client=polls_client,
        cache_async=connect_async(urls.cache, patient=False),
        polls=polls,
        watch=QueueWatch(polls, time.monotonic),
        drain=drain,
        uploads=uploads,
        recordings=Remembered(_RECORDINGS_KNOWN),
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
