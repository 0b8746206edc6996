"""Names under which artefacts are kept, and for how long.

    face_mesh:{image_hash}:{mode}:{engine}:{version}     a stage that depends on the preprocess mode
    face_detection:{image_hash}:{engine}:{version}       one that does not
    face_mesh:{image_hash}:{mode}:face1:{engine}:{version}   of another face of the picture than the largest
    motion:{audio_hash}:{engine}:{version}:2.0           what an engine heard in a recording: way, track
    decoded:{audio_hash}:0                               samples of a track of a recording, for an hour
    reference:{video_hash}:{mode}:{engine}:{version}     what it takes over from a reference video

A change of an engine's version changes every key, so nothing stale is ever read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sadtalker_service.domain import Lifetime, PreprocessMode
from sadtalker_service.settings import Settings

_DAY = 86_400.0
SECONDS: Mapping[Lifetime, float | None] = MappingProxyType(
    {"forever": None, "month": 30 * _DAY, "week": 7 * _DAY}
)
"""Lifetime -> seconds, None for no end; `lifetimes` gives those of the settings."""

HEARING = 2
"""Raise it when recordings are decoded or heard in another way; avatars stay as they are."""

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def lifetimes(settings: Settings) -> Mapping[Lifetime, float | None]:
    """Lifetime -> seconds, as the settings say; None for no end."""
    return MappingProxyType(
        {"forever": None, "month": settings.cache_month_seconds, "week": settings.cache_week_seconds}
    )


def stage_key(
    stage: str,
    image_hash: str,
    mode: PreprocessMode | None,
    engine: str,
    version: str,
    face_index: int = 0,
) -> str:
    """Key of a stage's artefact; `mode` is None for a stage that does not depend on it."""
    face = [f"face{face_index}"] if face_index else []
    return _join(stage, image_hash, *([mode] if mode else []), *face, engine, version)


def speech_features_key(audio_hash: str, engine: str, version: str, track: int = 0) -> str:
    """Key of what an engine heard in one of the sound tracks of a recording."""
    return _join("motion", audio_hash, engine, version, f"{HEARING}.{track}")


def decoded_speech_key(audio_hash: str, track: int) -> str:
    """Key of the samples of one of the sound tracks of a recording."""
    return _join("decoded", audio_hash, str(track))


def reference_key(video_hash: str, mode: PreprocessMode, engine: str, version: str) -> str:
    """Key of what an engine takes over from a reference video."""
    return _join("reference", video_hash, mode, engine, version)


def avatar_keys(
    stages: Iterable[tuple[str, bool, bool]],
    image_hash: str,
    mode: PreprocessMode,
    engine: str,
    version: str,
    face_index: int = 0,
) -> dict[str, str]:
    """Stage -> key of everything that an engine keeps of a portrait in one mode.

    `stages` are those of its card: (name, whether it depends on the mode, whether rendering needs it).
    """
    return {
        name: stage_key(name, image_hash, mode if per_mode else None, engine, version, face_index)
        for name, per_mode, _ in stages
    }


def key_parts(key: str) -> tuple[str, ...]:
    """The parts of a key, each safe as a file name. Raises `ValueError` for anything else."""
    parts = tuple(key.split(":"))
    if len(parts) < 2 or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(f"not a cache key: {key!r}")
    return parts


def _join(*parts: str) -> str:
    key = ":".join(parts)
    if key_parts(key) != parts:
        raise ValueError(f"a part of {key!r} holds a colon")
    return key
