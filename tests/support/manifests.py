"""Read what a video says of its origin, with the library's own reader."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from c2pa import Reader


def manifest_of(video: Path | bytes, media_type: str = "video/mp4") -> dict[str, Any]:
    """The manifest store of a video. Raises `C2paError` if it has none."""
    data = video if isinstance(video, bytes) else video.read_bytes()
    with Reader(media_type, io.BytesIO(data)) as reader:
        return dict(json.loads(reader.json()))


def origin_of(store: dict[str, Any]) -> str:
    """The digital source type that a manifest store states, after the last slash."""
    active = store["manifests"][store["active_manifest"]]
    (actions,) = (a["data"]["actions"] for a in active["assertions"] if a["label"].startswith("c2pa.actions"))
    return str(actions[0]["digitalSourceType"]).rpartition("/")[2]
