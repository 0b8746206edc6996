"""What there is to look at of an avatar: its mouth shapes, its gestures, its crop.

A worker makes it once, after the avatar (`make_previews`); whoever shows it needs the cache only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import (
    Artefact,
    Avatar,
    GestureCue,
    Portrait,
    PreprocessMode,
    Rendering,
    Style,
)
from sadtalker_service.engines.base import Engine, EngineCard, MouthShapes
from sadtalker_service.media.image import encode_png
from sadtalker_service.media.video import write_video
from sadtalker_service.pipeline.cached import CachedComputation, CacheLog, CacheTerms
from sadtalker_service.pipeline.prepare import prepare
from sadtalker_service.store.cache import ArtefactCache
from sadtalker_service.store.keys import stage_key

VISEMES, CLIPS, PICTURE = "visemes", "gesture_clips", "preview"
"""Kinds of artefacts: the engine's stage, and two that are made here."""

_PICTURE_SIDE, _CLIP_SIDE = 480, 256
"""Pixels of a close-up, as far as the engine can."""
_CLIP_SECONDS, _CUE_AT = 2.4, 0.2
"""A clip shows a moment of rest, the gesture, and rest again."""
_COLUMNS = 5
"""Of the sheet of mouth shapes."""


@dataclass(frozen=True)
class Sheet:
    """Mouth shapes on one picture."""

    png: bytes
    cells: Mapping[str, Any]
    """JSON values: `width` and `height` of the sheet and `cell`, the side of a cell, in pixels; `visemes`,
    name -> `x` and `y` of the cell's top left corner; `letters`, letter -> name of its viseme."""


def make_previews(
    engine: Engine,
    portrait: Portrait,
    mode: PreprocessMode,
    cache: ArtefactCache,
    *,
    terms: CacheTerms | None = None,
) -> CacheLog:
    """Put everything that there is to look at into the cache, where it is not there yet.

    `mode` counts only for an engine without close-ups. Raises what the engine's stages raise.
    """
    closest: PreprocessMode = "crop" if "crop" in engine.capabilities.preprocess_modes else mode
    avatar = prepare(engine, portrait, closest, cache, previews=True, terms=terms).avatar
    computation = CachedComputation(cache, terms)

    def keep(kind: str, compute: Callable[[], Artefact]) -> None:
        key = _key(kind, engine, portrait.image_hash)
        computation.artefact(kind, key, "week", compute)

    if engine.capabilities.idle:
        keep(PICTURE, partial(_picture, engine, avatar))
        keep(CLIPS, partial(_clips, engine, avatar))
    return computation.log


def viseme_sheet(cache: ArtefactCache, engine: Engine | EngineCard, image_id: str) -> Sheet | None:
    """The mouth shapes of an avatar, None where they are not in the cache. Raises `CacheUnavailable`."""
    artefact = cache.get(_key(VISEMES, engine, image_id))
    if artefact is None:
        return None
    shapes = MouthShapes.from_artefact(artefact)
    side = shapes.pictures.shape[1]
    corners = [(side * (k % _COLUMNS), side * (k // _COLUMNS)) for k in range(len(shapes.pictures))]
    sheet = np.zeros((corners[-1][1] + side, side * min(_COLUMNS, len(corners)), 3), np.uint8)
    for (x, y), picture in zip(corners, shapes.pictures, strict=True):
        sheet[y : y + side, x : x + side] = picture
    places = {name: {"x": x, "y": y} for name, (x, y) in zip(shapes.names, corners, strict=True)}
    size = {"width": sheet.shape[1], "height": sheet.shape[0], "cell": side}
    return Sheet(encode_png(sheet), {**size, "visemes": places, "letters": dict(shapes.letters)})


def gesture_clip(cache: ArtefactCache, engine: Engine | EngineCard, image_id: str, name: str) -> bytes | None:
    """An mp4 of an avatar making a gesture, None where it is not in the cache. Raises `CacheUnavailable`."""
    return _file(cache.get(_key(CLIPS, engine, image_id)), name)


def preview_picture(cache: ArtefactCache, engine: Engine | EngineCard, image_id: str) -> bytes | None:
    """A PNG of an avatar's close-up, None where it is not in the cache. Raises `CacheUnavailable`."""
    return _file(cache.get(_key(PICTURE, engine, image_id)), PICTURE)


def _key(kind: str, engine: Engine | EngineCard, image_id: str) -> str:
    return stage_key(kind, image_id, None, engine.name, engine.version)


def _file(artefact: Artefact | None, name: str) -> bytes | None:
    return artefact.arrays[name].tobytes() if artefact and name in artefact.arrays else None


def _picture(engine: Engine, avatar: Avatar) -> Artefact:
    rendering = _acting(engine, avatar, _PICTURE_SIDE, (), 0.04)
    return Artefact({PICTURE: _bytes(encode_png(rendering.plate))})


def _clips(engine: Engine, avatar: Avatar) -> Artefact:
    return Artefact({name: _clip(engine, avatar, name) for name in engine.capabilities.gestures})


def _clip(engine: Engine, avatar: Avatar, name: str) -> NDArray[np.uint8]:
    rendering = _acting(engine, avatar, _CLIP_SIDE, (GestureCue(name, _CUE_AT),), _CLIP_SECONDS)
    with tempfile.TemporaryDirectory(prefix="sadtalker-clip-") as folder:
        path = Path(folder) / "clip.mp4"
        write_video(rendering, path)
        return _bytes(path.read_bytes())


def _acting(
    engine: Engine, avatar: Avatar, side: int, cues: tuple[GestureCue, ...], seconds: float
) -> Rendering:
    smallest, largest = engine.capabilities.sizes
    style = Style(
        preprocess=avatar.mode,
        still=True,
        size=min(max(side, smallest), largest),
        quality="low",
        gestures=cues,
    )
    return engine.render(avatar, engine.drive(avatar, None, style, seconds), style)


def _bytes(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)
