"""The statistics route."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import redis
from fastapi import APIRouter, Request

from sadtalker_service.api.access.security import viewer_of
from sadtalker_service.api.health import renders
from sadtalker_service.api.presenters.stats import stats as rendered
from sadtalker_service.api.queue_stats import measure_queues
from sadtalker_service.api.schemas.problem import problems
from sadtalker_service.api.schemas.stats import RedisStatus, Stats
from sadtalker_service.api.services import Services, services_of
from sadtalker_service.store.cache import CacheUnavailable

router = APIRouter(prefix="/api/cache", tags=["operation"])

_KINDS = (
    *("face_detection", "3dmm_coeffs", "face_crop", "face_mesh", "gestures", "visemes", "background"),
    *("enhancement_params", "motion"),
)
"""Kinds of artefacts that clients of the SadTalker microservice expect, and motion."""
_AWAY = RedisStatus(connected=False, memory_used=None, memory_used_bytes=None, total_keys=None, uptime=None)


@router.get("/stats", response_model=Stats, responses=problems(), summary="Statistics")
def stats(request: Request) -> Stats:
    """Figures of cache, queue and videos. All values are measured; null means not measured yet."""
    services = services_of(request)
    viewer = viewer_of(request)
    images = services.avatars.count(viewer)
    warm = sum(renders(facts) for facts in services.workers.live().values())
    return rendered(
        services.statistics.snapshot(),
        measure_queues(services.sessions),
        viewer,
        redis_status=_redis_status(services.cache_client),
        cached={**_cached(services), "complete_processing": images},
        images=images,
        warm_workers=warm,
        now=time.time(),
    )


def _cached(services: Services) -> Mapping[str, int]:
    """Kind -> number of cached artefacts. Kinds without any appear with 0."""
    kinds = dict.fromkeys(_KINDS, 0)
    kinds |= {name: 0 for card in services.engines.all().values() for name, _, _ in card.stages}
    try:
        return {**kinds, **services.cache.count_by_kind()}
    except CacheUnavailable:
        return kinds


def _redis_status(client: redis.Redis) -> RedisStatus:
    try:
        facts = client.info()
        keys: Any = client.dbsize()
    except redis.RedisError:
        return _AWAY
    return RedisStatus(
        connected=True,
        memory_used=str(facts.get("used_memory_human")),
        memory_used_bytes=facts.get("used_memory"),
        total_keys=keys,
        uptime=facts.get("uptime_in_seconds"),
    )
