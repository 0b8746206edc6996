"""Which cache the command line uses."""

from __future__ import annotations

from pathlib import Path

from sadtalker_service.settings import Settings
from sadtalker_service.store.cache import ArtefactCache, NoCache
from sadtalker_service.store.directory import DirectoryCache


def open_cache(settings: Settings, folder: Path | None, *, wanted: bool) -> ArtefactCache:
    """The cache in `folder`, by default below `DATA_DIR`, or one that keeps nothing."""
    if not wanted:
        return NoCache()
    return DirectoryCache(folder or settings.data_dir / "cache", settings.cache_max_bytes)
