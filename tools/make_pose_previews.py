"""Write the head movements that the studio previews (studio/poses.json) from the mesh engine's head motion.

    .venv/bin/python tools/make_pose_previews.py

Run it again when the engine moves the head differently; a test compares the file with the engine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sadtalker_service.engines.mesh.motion.head import POSE_STYLES, HeadMotion, head_style, keep_clean
from sadtalker_service.engines.mesh.motion.signals import RATE
from sadtalker_service.options.seeds import random_stream

FILE = Path(__file__).resolve().parents[1] / "src/sadtalker_service/api/studio/poses.json"
PREVIEW_RATE = 10
"""Angles per second."""
SECONDS = 6.0
ACCENTS = (0.9, 2.1, 3.6, 4.8)
"""Seconds of the accents in the speech of the preview."""
LIVELINESS = 0.85


def movement(number: int) -> list[list[float]]:
    """Pitch, yaw and roll in degrees of style `number`, as in a video with seed 0: [[p, y, r], ...]."""
    motion = HeadMotion([random_stream(0, number, 3, movement) for movement in range(10)], head_style(number))
    for at in ACCENTS:
        motion.accent(at, 0.8)
    ticks = int(SECONDS * RATE)
    angles = keep_clean(motion.take(np.full(ticks, LIVELINESS))[:, :3])
    at = np.linspace(0, ticks - 1, int(SECONDS * PREVIEW_RATE)).round().astype(int)
    rows: list[list[float]] = np.degrees(angles[at]).round(1).tolist()
    return rows


def previews() -> dict[str, Any]:
    """The whole file."""
    return {"rate": PREVIEW_RATE, "angles": [movement(number) for number in range(POSE_STYLES)]}


if __name__ == "__main__":
    FILE.write_text(json.dumps(previews(), separators=(",", ":")) + "\n")
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")
