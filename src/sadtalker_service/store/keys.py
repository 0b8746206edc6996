"""Cache keys of artefacts, and their lifetimes.

    face_mesh:{image_hash}:{mode}:{engine}:{version}     a stage that depends on the preprocess mode
    face_detection:{image_hash}:{engine}:{version}       a stage that does not
    face_mesh:{image_hash}:{mode}:face1:{engine}:{version}   a face other than the largest
    motion:{audio_hash}:{engine}:{version}:3.0           speech features: features version, track;
                                                         how many windows there are
    motion:{audio_hash}:{engine}:{version}:3.0:7         one window of them
    decoded:{audio_hash}:0                               decoded samples of an audio track, for an hour
    voice:{phrase_hash}:{version}                        a spoken phrase and its times
    captions:{hash}:{version}                            words of a recording with their times
    reference:{video_hash}:{mode}:{engine}:{version}     what an engine takes from a reference video

A new engine version changes every key, so stale data is never read.
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
"""Lifetime -> seconds, or None for no expiry. `lifetimes` returns those of the settings."""

HEARING = 4
"""Increase it when decoding or speech features change. Avatars remain valid."""

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def lifetimes(settings: Settings) -> Mapping[Lifetime, float | None]:
    """Lifetime -> seconds in the settings, or None for no expiry."""
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
    """Key of a stage's artefact. `mode` is None for a stage that does not depend on it."""
    face = [f"face{face_index}"] if face_index else []
    return _join(stage, image_hash, *([mode] if mode else []), *face, engine, version)


def speech_features_key(audio_hash: str, engine: str, version: str, track: int = 0) -> str:
    """Key of the speech features of one audio track."""
    return _join("motion", audio_hash, engine, version, f"{HEARING}.{track}")


def window_key(speech_features: str, number: int) -> str:
    """Key of one window of the speech features with that key, from 0 on."""
    return f"{speech_features}:{number}"


def decoded_speech_key(audio_hash: str, track: int) -> str:
    """Key of the decoded samples of one audio track."""
    return _join("decoded", audio_hash, str(track))


def voice_key(phrase_hash: str, version: str) -> str:
    """Key of a phrase that a voice has spoken."""
    return _join("voice", phrase_hash, version)


def captions_key(words_hash: str, version: str) -> str:
    """Key of the words of a recording."""
    return _join("captions", words_hash, version)


def reference_key(video_hash: str, mode: PreprocessMode, engine: str, version: str) -> str:
    """Key of the data that an engine takes from a reference video."""
    return _join("reference", video_hash, mode, engine, version)


def avatar_keys(
    stages: Iterable[tuple[str, bool, bool]],
    image_hash: str,
    mode: PreprocessMode,
    engine: str,
    version: str,
    face_index: int = 0,
) -> dict[str, str]:
    """Stage -> key of all artefacts that an engine stores for a source image in one mode.

    `stages` are those in its card: (name, whether it depends on the mode, whether rendering needs it).
    """
    return {
        name: stage_key(name, image_hash, mode if per_mode else None, engine, version, face_index)
        for name, per_mode, _ in stages
    }


def key_parts(key: str) -> tuple[str, ...]:
    """The parts of a key, each safe as a file name. Raises `ValueError` if it is not a key."""
    parts = tuple(key.split(":"))
    if len(parts) < 2 or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(f"not a cache key: {key!r}")
    return parts


def _join(*parts: str) -> str:
    key = ":".join(parts)
    if key_parts(key) != parts:
        raise ValueError(f"a part of {key!r} contains a colon")
    return key
