"""Summary of a source image: its modes, and the cached artefacts of each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from sadtalker_service.engines.port import EngineCard
from sadtalker_service.state.records import AvatarRecord
from sadtalker_service.store.cache import CacheUnavailable
from sadtalker_service.store.keys import avatar_keys

log = structlog.get_logger(__name__)


class AvatarCache(Protocol):
    """The part of `store.redis_cache.RedisCache` that concerns whole avatars."""

    def forget(self, image_id: str) -> int:
        """Remove every artefact of the source image. Returns their number. Raises `CacheUnavailable`."""

    def size_and_ttl(self, key: str) -> tuple[int, int | None] | None:
        """(bytes, seconds left or None for no expiry) of an artefact, or None. Raises `CacheUnavailable`."""


@dataclass(frozen=True)
class Component:
    """The cached artefacts of one stage of an avatar, over all its modes."""

    cached: bool
    ttl: int | None
    """Seconds until the first of its artefacts expires; None for never, and if nothing is cached."""
    size_bytes: int


@dataclass(frozen=True)
class ImageSummary:
    """Everything stored for a source image."""

    image_id: str
    records: tuple[AvatarRecord, ...]
    """One per mode."""
    components: Mapping[str, Component]
    """Stage -> its cached artefacts."""
    total_bytes: int
    coverage: float
    """Share of the stages that are cached, 0..1."""
    videos: int
    """Number of stored videos made from it."""


def summary_of(
    records: Sequence[AvatarRecord], card: EngineCard | None, cache: AvatarCache, videos: int
) -> ImageSummary:
    """The summary of the source image of `records` (one per mode, at least one).

    `card` is the engine whose stages are listed; None lists none. An unavailable cache counts as empty.
    """
    components = {} if card is None else _components(records, card, cache)
    cached = [part for part in components.values() if part.cached]
    return ImageSummary(
        image_id=records[0].image_id,
        records=tuple(records),
        components=components,
        total_bytes=sum(part.size_bytes for part in cached),
        coverage=len(cached) / len(components) if components else 0.0,
        videos=videos,
    )


def _components(
    records: Sequence[AvatarRecord], card: EngineCard, cache: AvatarCache
) -> dict[str, Component]:
    keys: dict[str, set[str]] = {}
    for record in records:
        of_mode = avatar_keys(
            card.stages, record.image_id, record.mode, card.name, card.version, record.face_index
        )
        for stage, key in of_mode.items():
            keys.setdefault(stage, set()).add(key)
    return {stage: _component(sorted(names), cache) for stage, names in keys.items()}


def _component(keys: Sequence[str], cache: AvatarCache) -> Component:
    found = []
    try:
        found = [known for known in map(cache.size_and_ttl, keys) if known]
    except CacheUnavailable as error:
        log.warning("cache_unavailable", reason=str(error))
    ttls = [ttl for _, ttl in found if ttl is not None]
    return Component(bool(found), min(ttls, default=None), sum(size for size, _ in found))
