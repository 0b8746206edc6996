"""Speech features that the mesh engine and timelines share: each driven audio is recognised once."""

from __future__ import annotations

from pathlib import Path

from sadtalker_service.domain import Artefact
from sadtalker_service.engines.port import EngineCard
from sadtalker_service.store.cache import ArtefactCache, CacheUnavailable
from sadtalker_service.store.codec import CorruptArtefact, decode, encode
from sadtalker_service.store.keys import speech_features_key, window_key

ENGINE = "mesh"
"""The engine whose speech features are an `Articulation`."""


def fetch_features(cache: ArtefactCache, key: str, folder: Path) -> bool:
    """Write the windows of the features under `key` into a new `folder`, if the cache has all of them.

    A failing cache only costs time.
    """
    try:
        known = cache.get(key)
        windows = [cache.get(window_key(key, n)) for n in range(known.record["windows"])] if known else []
    except CacheUnavailable:
        return False
    parts = [window for window in windows if window is not None]
    if not parts or len(parts) < len(windows):
        return False
    folder.mkdir()
    for number, part in enumerate(parts):
        (folder / f"{number:06}").write_bytes(encode(part))
    return True


def keep_features(cache: ArtefactCache, key: str, folder: Path, seconds: float) -> None:
    """Keep the windows in `folder` under `key` for `seconds`. A failing cache only costs time."""
    try:
        files = sorted(folder.iterdir())
        for number, file in enumerate(files):
            cache.put(window_key(key, number), decode(file.read_bytes()), seconds)
        cache.put(key, Artefact({}, {"windows": len(files)}), seconds)
    except (OSError, CorruptArtefact, CacheUnavailable):
        return


def features_key(card: EngineCard, audio_hash: str, track: int) -> str:
    """Key of the features of one audio track. `card` is that of `ENGINE`."""
    return speech_features_key(audio_hash, card.name, card.version, track)
