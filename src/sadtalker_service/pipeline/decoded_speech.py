"""Decoded driven audio, kept by the API (which decodes it as a check) for the worker that needs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sadtalker_service.domain import Artefact, SoundReading, Speech
from sadtalker_service.store.cache import ArtefactCache, CacheUnavailable
from sadtalker_service.store.keys import decoded_speech_key

_SECONDS = 3600.0
"""Lifetime of the samples. A worker that starts later decodes the driven audio itself."""


def keep_decoded(cache: ArtefactCache, audio_hash: str, reading: SoundReading | None, samples: Path) -> None:
    """Keep the samples that `media.inspection` wrote into `samples`. A failing cache only costs time.

    Driven audio longer than `LONGEST_KEPT` is not kept: decoding it piece by piece costs little, and holding
    it costs memory.
    """
    if reading is None:
        return
    try:
        artefact = Artefact({"samples": np.fromfile(samples, np.float32)})
        cache.put(decoded_speech_key(audio_hash, reading.track), artefact, _SECONDS)
    except (OSError, CacheUnavailable):
        return


def find_decoded(
    cache: ArtefactCache, audio_hash: str, path: Path, reading: SoundReading | None
) -> Speech | None:
    """Return the decoded driven audio of `path` from the cache, or None."""
    if reading is None:
        return None
    try:
        artefact = cache.get(decoded_speech_key(audio_hash, reading.track))
    except CacheUnavailable:
        return None
    return Speech(audio_hash, artefact.arrays["samples"], path, reading) if artefact else None
