"""Gestures: short clips of channels and head angles, added to the motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sadtalker_service.domain import GestureCue
from sadtalker_service.engines.mesh.channels import INDEX
from sadtalker_service.engines.mesh.kernels.scene import CONTROLS, PITCH, ROLL, YAW
from sadtalker_service.engines.mesh.motion.eyes import blink_shape
from sadtalker_service.engines.mesh.motion.signals import RATE, Signal, sample, ticks


@dataclass(frozen=True)
class Gesture:
    """A clip of controls."""

    duration: float
    """Seconds."""
    draw: Callable[[Signal, Signal], None]
    """Fills controls (T, CONTROLS) for the times (T,)."""


def _rise(t: Signal, start: float, end: float, ramp: float) -> Signal:
    """0, then 1 between `start` and `end`, with smooth ramps."""
    up = np.clip((t - start) / ramp, 0, 1)
    down = np.clip((end - t) / ramp, 0, 1)
    level = np.minimum(up, down)
    smooth: Signal = level * level * (3 - 2 * level)
    return smooth


def _swing(t: Signal, duration: float, cycles: float) -> Signal:
    """Damped oscillation that starts and ends at rest."""
    return (
        np.sin(2 * np.pi * cycles * t / duration) * _rise(t, 0.0, duration, 0.25) * (1 - 0.45 * t / duration)
    )


def _hello(t: Signal, out: Signal) -> None:
    out[:, PITCH] = np.radians(-4.0 * _rise(t, 0.0, 0.7, 0.3) + 4.5 * _rise(t, 0.55, 1.25, 0.3))
    out[:, ROLL] = np.radians(2.5) * _rise(t, 0.3, 2.0, 0.5)
    out[:, INDEX["brow"]] = 0.9 * _rise(t, 0.05, 1.0, 0.25)
    out[:, INDEX["smile"]] = 0.9 * _rise(t, 0.3, 2.0, 0.4)
    out[:, INDEX["squint"]] = 0.25 * _rise(t, 0.4, 2.0, 0.4)


def _nod_yes(t: Signal, out: Signal) -> None:
    out[:, PITCH] = np.radians(5.5) * _swing(t, 1.5, 2.0)


def _nod_no(t: Signal, out: Signal) -> None:
    out[:, YAW] = np.radians(7.0) * _swing(t, 1.5, 2.0)


def _smile(t: Signal, out: Signal) -> None:
    out[:, INDEX["smile"]] = 1.1 * _rise(t, 0.0, 1.8, 0.45)
    out[:, INDEX["squint"]] = 0.35 * _rise(t, 0.1, 1.7, 0.45)


def _blink(t: Signal, out: Signal) -> None:
    out[:, INDEX["blink_right"]] = out[:, INDEX["blink_left"]] = blink_shape(t - 0.05)


GESTURES: dict[str, Gesture] = {
    "hello": Gesture(2.0, _hello),
    "nod_yes": Gesture(1.5, _nod_yes),
    "nod_no": Gesture(1.5, _nod_no),
    "smile": Gesture(1.8, _smile),
    "blink": Gesture(0.5, _blink),
}


def gesture_clip(name: str) -> Signal:
    """Controls (T, CONTROLS) of a gesture at `RATE`."""
    gesture = GESTURES[name]
    times = np.arange(ticks(gesture.duration)) / RATE
    clip = np.zeros((len(times), CONTROLS))
    gesture.draw(times, clip)
    return clip


def add_gestures(controls: Signal, cues: tuple[GestureCue, ...], times: Signal) -> None:
    """Add the cues' clips to controls (F, CONTROLS) at the frame times (F,), in place."""
    for cue in cues:
        clip = gesture_clip(cue.name)
        during = (times >= cue.at) & (times <= cue.at + GESTURES[cue.name].duration)
        controls[during] += sample(clip, times[during] - cue.at)
