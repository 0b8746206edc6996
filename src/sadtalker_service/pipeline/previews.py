"""Makes an avatar's previews once, after the avatar itself. `preview_assets.py` reads them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Artefact, Avatar, GestureCue, PreprocessMode, Rendering
from sadtalker_service.engines.port import Engine
from sadtalker_service.media.image import encode_png
from sadtalker_service.media.video import write_video
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.cached import CachedComputation, CacheLog
from sadtalker_service.pipeline.pipeline import AnySourceImage, Pipeline
from sadtalker_service.pipeline.preview_assets import CLIPS, PICTURE, exhibit_key

_PICTURE_SIDE, _CLIP_SIDE = 480, 256
"""Pixels of a close-up and of a clip, if the engine supports that size."""
_CLIP_SECONDS, _CUE_AT = 2.4, 0.2
"""Seconds. A clip shows a moment of rest, the gesture, and rest again."""


def make_previews(
    pipeline: Pipeline, image: AnySourceImage, mode: PreprocessMode, face_index: int = 0
) -> CacheLog:
    """Put every preview that is missing into the cache.

    `mode` matters only for an engine without the mode `crop`. Raises the errors of the engine's stages, and
    `Cancelled`.
    """
    engine = pipeline.engine
    closest: PreprocessMode = "crop" if "crop" in engine.capabilities.preprocess_modes else mode
    options = RenderOptions(preprocess=closest, face_index=face_index)
    avatar = pipeline.prepare(image, options, previews=True).avatar
    computation = CachedComputation(pipeline.cache, pipeline.terms)

    def keep(kind: str, compute: Callable[[], Artefact]) -> None:
        pipeline.reporter.stage(kind)
        key = exhibit_key(kind, engine, image.image_hash, face_index)
        computation.artefact(kind, key, "week", compute)

    if engine.capabilities.idle:
        keep(PICTURE, partial(_picture, engine, avatar))
        keep(CLIPS, partial(_clips, engine, avatar))
    return computation.log


def _picture(engine: Engine, avatar: Avatar) -> Artefact:
    rendering = _acting(engine, avatar, _PICTURE_SIDE, (), 0.04)
    return Artefact({PICTURE: _bytes(encode_png(rendering.background))})


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
    can = engine.capabilities
    smallest, largest = can.sizes
    options = RenderOptions(
        preprocess=avatar.mode,
        still=True,
        size=can.default_size if can.only_sizes else min(max(side, smallest), largest),
        quality="low",
        gestures=cues,
    )
    return engine.render(avatar, engine.drive(avatar, None, options, seconds), options)


def _bytes(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)
