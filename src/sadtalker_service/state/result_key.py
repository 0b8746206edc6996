"""The name of a request's video."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sadtalker_service.options.render_options import changed
from sadtalker_service.speech.captions.recogniser import VERSION, obstacle
from sadtalker_service.state.records import VideoSpec

VIDEO_FORMAT = 2
"""Part of every key. Raise it when equal requests begin to give different videos, because the encoder, the
muxer, the audio or the default of an option has changed."""


def result_key(spec: VideoSpec) -> str:
    """Name of the video for `spec`: 64 hexadecimal digits, equal for equal videos.

    Options with default values are left out, so a new option does not change the names of existing videos.
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
    elif spec.options.captions and not spec.spoken and not obstacle():
        facts["recogniser"] = VERSION  # without it, the same request gives a video without captions
    text = json.dumps(_plain(facts), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """JSON values with one form for equal numbers: 1 and 1.0, -0.0 and 0."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return float(value) + 0.0
