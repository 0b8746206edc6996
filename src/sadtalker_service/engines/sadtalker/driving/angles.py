"""Free view: head angles along a path, in place of the predicted ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Track
from sadtalker_service.options import RenderOptions


def path(degrees: Sequence[float], frames: int) -> NDArray[np.float32]:
    """(frames,) degrees: from stop to stop at constant speed, over the whole video.

    At a stop, the angle is already that of the next leg, and the last stop is never quite reached. Stops that
    do not move count once. If no stop moves, the angle is constant.

    Raises:
        ValueError: there is no stop.
    """
    if not degrees:
        raise ValueError("A path of angles needs at least one.")
    length = sum(abs(b - a) for a, b in pairwise(degrees))
    if length == 0 or frames < 2:
        return np.full(frames, degrees[0], np.float32)
    step = length / (frames - 1)
    legs = [np.arange(a, b, step if b > a else -step) for a, b in pairwise(degrees) if a != b]
    walked = np.concatenate(legs)[:frames]
    return np.pad(walked, (0, frames - len(walked)), mode="edge").astype(np.float32)


def free_view(options: RenderOptions, frames: int) -> dict[str, NDArray[np.float32]]:
    """Angle -> (frames,) degrees, of those that the options give."""
    tracks: dict[str, Track | None] = {
        "yaw": options.input_yaw,
        "pitch": options.input_pitch,
        "roll": options.input_roll,
    }
    return {name: path(track.degrees, frames) for name, track in tracks.items() if track}
