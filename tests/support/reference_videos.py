"""Small videos with known contents."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sadtalker_service.domain import Rendering
from sadtalker_service.media.video import write_video


def grey_video(path: Path, level: int, frames: int = 5) -> Path:
    """Write a grey video of 64 x 64 pixels. Returns `path`."""
    background = np.full((64, 64, 3), level, np.uint8)
    write_video(
        Rendering(background, (0, 0, 64, 64), 25, frames, iter([np.stack([background] * frames)])), path
    )
    return path
