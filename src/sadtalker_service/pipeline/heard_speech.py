"""Speech features that the mesh engine and timelines share: each driven audio is recognised once."""

from __future__ import annotations

from pathlib import Path

from sadtalker_service.engines.port import EngineCard
from sadtalker_service.store.cache import ArtefactCache, CacheUnavailable
from sadtalker_service.store.codec import CorruptArtefact, decode, encode
from sadtalker_service.store.keys import speech_features_key

ENGINE = "mesh"
"""The engine whose speech features are an `Articulation`."""


def fetch_features(cache: ArtefactCache, key: str, file: Path) -> bool:
    """Write the features under `key` to `file`, if there are any. A cache that fails costs time only."""
    try:
        artefact = cache.get(key)
    except CacheUnavailable:
        return False
    if artefact is None:
        return False
    file.write_bytes(encode(artefact))
    return True


def keep_features(cache: ArtefactCache, key: str, file: Path, seconds: float) -> None:
    """Keep the features in `file` under `key` for so many seconds. A cache that fails costs time only."""
    try:
        cache.put(key, decode(file.read_bytes()), seconds)
    except (OSError, CorruptArtefact, CacheUnavailable):
        return


def features_key(card: EngineCard, audio_hash: str, track: int) -> str:
    """Key of the features of one audio track. `card` is that of `ENGINE`."""
    return speech_features_key(audio_hash, card.name, card.version, track)
