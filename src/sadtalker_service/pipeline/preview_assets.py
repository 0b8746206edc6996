"""Reads an avatar's previews from the cache: mouth shapes, gesture clips and close-up.

A worker has put them there (`previews.make_previews`). Reading needs only the cache: no frame is rendered
here, and no engine is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sadtalker_service.domain import Artefact
from sadtalker_service.engines.port import Engine, EngineCard, MouthShapes
from sadtalker_service.media.image import encode_png
from sadtalker_service.store.cache import ArtefactCache
from sadtalker_service.store.keys import stage_key

VISEMES, CLIPS, PICTURE = "visemes", "gesture_clips", "preview"
"""Kinds of artefacts: one stage of the engine, and two that `previews` makes."""

_COLUMNS = 5
"""Columns of the sheet of mouth shapes."""


@dataclass(frozen=True)
class Sheet:
    """All mouth shapes in one image."""

    png: bytes
    cells: Mapping[str, Any]
    """JSON values: `width` and `height` of the sheet and `cell`, the side of a cell, in pixels; `visemes`,
    name -> `x` and `y` of the cell's top left corner; `closed_eyes`, the corner of the first one with closed
    eyes, or None; `letters`, letter -> name of its viseme."""


def viseme_sheet(
    cache: ArtefactCache, engine: Engine | EngineCard, image_id: str, face_index: int = 0
) -> Sheet | None:
    """Return an avatar's mouth shapes, None if they are not cached. Raises `CacheUnavailable`."""
    artefact = cache.get(exhibit_key(VISEMES, engine, image_id, face_index))
    if artefact is None:
        return None
    shapes = MouthShapes.from_artefact(artefact)
    side = shapes.pictures.shape[1]
    pictures = [*shapes.pictures, *([] if shapes.closed_eyes is None else [shapes.closed_eyes])]
    corners = [(side * (k % _COLUMNS), side * (k // _COLUMNS)) for k in range(len(pictures))]
    sheet = np.zeros((corners[-1][1] + side, side * min(_COLUMNS, len(corners)), 3), np.uint8)
    for (x, y), picture in zip(corners, pictures, strict=True):
        sheet[y : y + side, x : x + side] = picture
    places = [{"x": x, "y": y} for x, y in corners]
    cells = {
        "width": sheet.shape[1],
        "height": sheet.shape[0],
        "cell": side,
        "visemes": dict(zip(shapes.names, places, strict=False)),
        "closed_eyes": None if shapes.closed_eyes is None else places[-1],
        "letters": dict(shapes.letters),
    }
    return Sheet(encode_png(sheet), cells)


def gesture_clip(
    cache: ArtefactCache, engine: Engine | EngineCard, image_id: str, name: str, face_index: int = 0
) -> bytes | None:
    """Return an mp4 of an avatar's gesture, None if it is not cached. Raises `CacheUnavailable`."""
    return _file(cache.get(exhibit_key(CLIPS, engine, image_id, face_index)), name)


def preview_picture(
    cache: ArtefactCache, engine: Engine | EngineCard, image_id: str, face_index: int = 0
) -> bytes | None:
    """Return a PNG of an avatar's close-up, None if it is not cached. Raises `CacheUnavailable`."""
    return _file(cache.get(exhibit_key(PICTURE, engine, image_id, face_index)), PICTURE)


def exhibit_key(kind: str, engine: Engine | EngineCard, image_id: str, face_index: int = 0) -> str:
    """Return the cache key of a preview artefact."""
    return stage_key(kind, image_id, None, engine.name, engine.version, face_index)


def _file(artefact: Artefact | None, name: str) -> bytes | None:
    return artefact.arrays[name].tobytes() if artefact and name in artefact.arrays else None
