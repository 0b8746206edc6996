"""Speech features that the mesh engine and timelines share: each driven audio is recognised once."""

from __future__ import annotations

from pathlib import Path

from sadtalker_service.domain import Artefact
from sadtalker_service.engines.port import EngineCard
from sadtalker_service.speech.articulation import Articulation, joined
from sadtalker_service.store.cache import ArtefactCache, CacheUnavailable
from sadtalker_service.store.codec import CorruptArtefact, decode, encode
from sadtalker_service.store.keys import speech_features_key, window_key

ENGINE = "mesh"
"""The engine whose speech features are an `Articulation`."""


def fetch_features(cache: ArtefactCache, key: str, file: Path) -> bool:
    """Write the features under `key` to `file`, if there are any. A cache that fails costs time only."""
    try:
        known = cache.get(key)
        parts = [cache.get(window_key(key, n)) for n in range(known.record["windows"])] if known else []
    except CacheUnavailable:
        return False
    windows = [Articulation.from_artefact(part) for part in parts if part is not None]
    if not windows or len(windows) < len(parts):
        return False
    file.write_bytes(encode(joined(windows).to_artefact()))
    return True


def keep_features(cache: ArtefactCache, key: str, file: Path, seconds: float) -> None:
    """Keep the features in `file` under `key` for so many seconds, as a single window. A cache that fails
    costs time only."""
    try:
        cache.put(window_key(key, 0), decode(file.read_bytes()), seconds)
        cache.put(key, Artefact({}, {"windows": 1}), seconds)
    except (OSError, CorruptArtefact, CacheUnavailable):
        return


def features_key(card: EngineCard, audio_hash: str, track: int) -> str:
    """Key of the features of one audio track. `card` is that of `ENGINE`."""
    return speech_features_key(audio_hash, card.name, card.version, track)
