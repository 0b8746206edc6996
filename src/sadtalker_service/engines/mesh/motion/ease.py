"""The way from the source image into the motion, and back to it at the end.

A page shows the source image until the video begins, and again after it. Without this, the face would jump.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sadtalker_service.engines.mesh.channels import CHANNELS, INDEX
from sadtalker_service.engines.mesh.kernels.scene import CONTROLS, TONGUE
from sadtalker_service.engines.mesh.motion.signals import Signal

HEAD_SECONDS = 0.4
"""Head, brows and gaze."""
LIPS_SECONDS = 0.25
"""Lips shut within this time after the last sound."""

_MOUTH = (*(INDEX[name] for name in CHANNELS[: INDEX["smile"] + 1]), TONGUE)
_EYELIDS = (INDEX["blink_right"], INDEX["blink_left"])
_HEAD = tuple(k for k in range(CONTROLS) if k not in (*_MOUTH, *_EYELIDS))


@dataclass(frozen=True)
class Ease:
    """Which ends of a motion are the source image."""

    begins: bool = True
    """The first frame is the source image."""
    ends: bool = True
    """The last frame is the source image."""

    def head(self, times: Signal, end: float | None) -> Signal:
        """Share 0..1 of the motion of head, brows and gaze at each time, (F,).

        Args:
            times: seconds of the frames, (F,), the first of which follows what was moved before.
            end: seconds of the whole video if it is known.
        """
        share = smooth_step(times / HEAD_SECONDS) if self.begins else np.ones(len(times))
        if self.ends and end is not None and len(times):
            share = share * _falling(times, end - HEAD_SECONDS, end)
        return share

    def mouth(self, times: Signal, end: float | None, silent_from: float | None) -> Signal:
        """Share 0..1 of the motion of the mouth, (F,).

        `silent_from`: seconds at which the last sound ends, if it ends before the video. Else as in `head`.
        """
        share = smooth_step(times / LIPS_SECONDS) if self.begins else np.ones(len(times))
        if self.ends and end is not None and len(times):
            stop = end if silent_from is None else min(silent_from + LIPS_SECONDS, end)
            share = share * _falling(times, stop - LIPS_SECONDS, stop)
        return share


BOTH_ENDS = Ease()


def apply_ease(controls: Signal, head: Signal, mouth: Signal, free: tuple[int, ...] = ()) -> None:
    """Reduce controls (F, CONTROLS) to those shares (F,), in place, but for the columns in `free`.

    Blinks are not reduced: half a blink would be seen. There is none near the end.
    """
    for columns, share in ((_HEAD, head), (_MOUTH, mouth)):
        wanted = [k for k in columns if k not in free]
        controls[:, wanted] *= share[:, None]


def smooth_step(x: Signal) -> Signal:
    """0 up to x = 0, 1 from x = 1 on, a cubic in between."""
    clipped = np.clip(x, 0.0, 1.0)
    return clipped * clipped * (3.0 - 2.0 * clipped)


def _falling(times: Signal, start: float, stop: float) -> Signal:
    """1 up to `start`, 0 from `stop` on. A fall that should have begun before the first time begins there."""
    start = max(start, times[0])
    stop = max(stop, min(start + LIPS_SECONDS, times[-1]))
    return 1.0 - smooth_step((times - start) / max(stop - start, 1e-6))
