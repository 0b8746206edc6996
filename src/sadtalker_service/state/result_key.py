"""The name of the video that a request becomes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sadtalker_service.options.render_options import changed
from sadtalker_service.state.records import VideoSpec

VIDEO_FORMAT = 2
"""Part of every key: raise it when equal requests begin to give other videos (encoder, muxer, sound, the
default of an option)."""


def result_key(spec: VideoSpec) -> str:
    """Name of the video that `spec` becomes: 64 hexadecimal digits, equal for equal videos.

    Options that have their defaults are left out: a new option leaves the videos of before where they are.
    """
    facts = {
        "format": VIDEO_FORMAT,
        "image": spec.image_id,
        "audio": spec.audio_id,
        "idle_seconds": spec.audio_seconds if spec.audio_id is None else None,
        "options": changed(spec.options),
        "engine": [spec.engine, spec.engine_version],
        "references": [spec.ref_eyeblink_id, spec.ref_pose_id],
    }
    if spec.transcript:
        facts["transcript"] = spec.transcript
    text = json.dumps(_plain(facts), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """JSON values in which equal numbers look alike: 1, 1.0 and -0.0, 0."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return float(value) + 0.0
