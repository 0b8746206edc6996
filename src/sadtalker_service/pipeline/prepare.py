"""From a portrait to an avatar: the engine's stages in order, each out of the cache where it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sadtalker_service.domain import Artefact, Avatar, Portrait, PreprocessMode
from sadtalker_service.engines.base import Engine, EngineCard, Stage
from sadtalker_service.media.stopwatch import Stopwatch
from sadtalker_service.pipeline.cached import CachedComputation, CacheLog, CacheTerms
from sadtalker_service.store.cache import ArtefactCache
from sadtalker_service.store.keys import avatar_keys, stage_key


@dataclass(frozen=True, eq=False)
class Prepared:
    """An avatar, and what it took to make it."""

    avatar: Avatar
    seconds: Mapping[str, float]
    """Stage -> seconds, those of reading or writing the cache included."""
    cache: CacheLog


def prepare(
    engine: Engine,
    portrait: Portrait,
    mode: PreprocessMode,
    cache: ArtefactCache,
    *,
    size: int | None = None,
    previews: bool = False,
    on_stage: Callable[[str], None] | None = None,
    terms: CacheTerms | None = None,
) -> Prepared:
    """Compute or load every stage that rendering needs, and with `previews` the others too.

    `size` is that of the video, None for the engine's default. `on_stage` is told the name of each stage
    before it begins; an exception that it raises (`Cancelled`) ends the work. Raises what the stages raise:
    `NoFaceFound`, `FaceTooSmall`, `MouthOutsidePicture`, ...
    """
    computation = CachedComputation(cache, terms)
    watch = Stopwatch()
    artefacts: dict[str, Artefact] = {}
    for stage in engine.stages if size is None else engine.stages_for(size):
        if not (stage.essential or previews):
            continue
        if on_stage:
            on_stage(stage.name)
        with watch(stage.name):
            artefacts[stage.name] = computation.artefact(
                stage.name,
                _key(stage, engine, portrait, mode),
                stage.lifetime,
                partial(stage.compute, portrait, mode, artefacts),
            )
    avatar = Avatar(portrait.image_hash, engine.name, mode, artefacts, portrait.face_index)
    return Prepared(avatar, watch.seconds, computation.log)


def keys_of(card: EngineCard, image_id: str, mode: PreprocessMode, face_index: int = 0) -> Mapping[str, str]:
    """Stage -> cache key of all that an engine keeps of a face of a portrait, previews included."""
    return avatar_keys(card.stages, image_id, mode, card.name, card.version, face_index)


def _key(stage: Stage, engine: Engine, portrait: Portrait, mode: PreprocessMode) -> str:
    return stage_key(
        stage.name,
        portrait.image_hash,
        mode if stage.per_mode else None,
        engine.name,
        engine.version,
        portrait.face_index,
    )
