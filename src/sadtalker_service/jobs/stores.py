"""Opens all stores on servers and in folders, in one place.

A store is opened when it is first requested, and connects when it is first used.
"""

from __future__ import annotations

from functools import cached_property

import redis

from sadtalker_service.jobs.dispatch import Dispatch
from sadtalker_service.jobs.live_service import LiveService
from sadtalker_service.jobs.video_service import VideoService
from sadtalker_service.settings import Settings
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.idempotency import IdempotencyKeys
from sadtalker_service.state.live_sessions import LiveSessionStore
from sadtalker_service.state.preparations import Preparations
from sadtalker_service.state.registry import EngineRegistry, WorkerRegistry
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.statistics import Statistics
from sadtalker_service.store.artefact_store import ArtefactStore, artefact_url
from sadtalker_service.store.connections import connect, store_urls
from sadtalker_service.store.redis_cache import RedisCache


class Stores:
    """The stores of one process."""

    def __init__(self, settings: Settings) -> None:
        """Raises `StoreMisconfigured` if the folder for sockets cannot be created."""
        self.settings = settings
        self.urls = store_urls(settings)

    @cached_property
    def queue(self) -> redis.Redis:
        """The server with sessions, avatars and messages."""
        return connect(self.urls.queue)

    @cached_property
    def cache_client(self) -> redis.Redis:
        """The server with artefacts and media streams. If it is unavailable, requests only take longer."""
        return connect(self.urls.cache, retries=False)

    @cached_property
    def cache(self) -> RedisCache:
        """Artefacts."""
        return RedisCache(self.cache_client)

    @cached_property
    def artefacts(self) -> ArtefactStore:
        """Source images, driven audio and videos. Raises `StoreMisconfigured` for a wrong ARTEFACT_URL."""
        return ArtefactStore(artefact_url(self.settings))

    @cached_property
    def sessions(self) -> SessionStore:
        """Requests for videos."""
        return SessionStore(self.queue, self.settings)

    @cached_property
    def avatars(self) -> AvatarStore:
        """Uploaded source images."""
        return AvatarStore(self.queue)

    @cached_property
    def preparations(self) -> Preparations:
        """Counters of started preparations."""
        return Preparations(self.queue)

    @cached_property
    def statistics(self) -> Statistics:
        """Measured figures."""
        return Statistics(self.queue)

    @cached_property
    def engines(self) -> EngineRegistry:
        """Engines published by workers."""
        return EngineRegistry(self.queue)

    @cached_property
    def workers(self) -> WorkerRegistry:
        """Heartbeats of workers."""
        return WorkerRegistry(self.queue)

    @cached_property
    def live(self) -> LiveSessionStore:
        """Live sessions and the workers that carry them."""
        return LiveSessionStore(self.queue, self.settings)

    @cached_property
    def live_service(self) -> LiveService:
        """What starts and ends live sessions."""
        return LiveService(
            live=self.live,
            sessions=self.sessions,
            avatars=self.avatars,
            engines=self.engines,
            artefacts=self.artefacts,
            recording_seconds=self.settings.live_recording_seconds,
        )

    @cached_property
    def idempotency(self) -> IdempotencyKeys:
        """Idempotency keys of requests."""
        return IdempotencyKeys(self.queue, self.settings)

    def make_video_service(self, dispatch: Dispatch) -> VideoService:
        """The service that accepts requests."""
        return VideoService(
            sessions=self.sessions,
            avatars=self.avatars,
            engines=self.engines,
            statistics=self.statistics,
            artefacts=self.artefacts,
            cache=self.cache,
            dispatch=dispatch,
        )

    def close(self) -> None:
        """Close the connections."""
        self.queue.close()
        self.cache_client.close()
