"""Head motion in 46 styles: slow wandering, nods at speech accents, breathing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Track
from sadtalker_service.engines.mesh.motion.signals import RATE, Signal, smooth, ticks, wander

POSE_STYLES = 46

LIMITS = np.radians([10.0, 14.0, 13.0])
"""Largest pitch, yaw and roll that the warp draws without artefacts, radians."""


@dataclass(frozen=True)
class HeadStyle:
    """How a person moves the head. Angles are standard deviations in degrees."""

    pitch: float
    yaw: float
    roll: float
    pace: float
    """Factor for all frequencies."""
    nod: float
    """Degrees of the nod at a strong accent."""
    tilt: float
    """Constant roll, degrees."""
    turn: float
    """Constant yaw, degrees."""


def head_style(number: int) -> HeadStyle:
    """Style 0..45. 0 is a calm, even-tempered speaker, and the others vary around it."""
    if number == 0:
        return HeadStyle(pitch=2.1, yaw=3.6, roll=2.2, pace=1.0, nod=2.4, tilt=0.0, turn=0.0)
    rng = np.random.default_rng([46, number])
    lively = rng.uniform(0.65, 1.5)
    return HeadStyle(
        pitch=2.1 * lively * rng.uniform(0.7, 1.3),
        yaw=3.6 * lively * rng.uniform(0.6, 1.4),
        roll=2.2 * lively * rng.uniform(0.5, 1.5),
        pace=rng.uniform(0.75, 1.4),
        nod=rng.uniform(1.0, 3.2),
        tilt=rng.uniform(-1.6, 1.6),
        turn=rng.uniform(-1.6, 1.6),
    )


def head_motion(
    rng: np.random.Generator,
    duration: float,
    style: HeadStyle,
    liveliness: Signal,
    accents: NDArray[np.float32],
) -> tuple[Signal, Signal]:
    """Angles and shift of the head.

    Args:
        rng: source of the wandering.
        duration: seconds.
        style: how the person moves.
        liveliness: (T,) 0..1 at `RATE`: how active the speech is. The head is calmer in silence.
        accents: (A, 2) times and strengths of prosodic accents.

    Returns:
        angles (T, 3) pitch, yaw, roll in radians; shift (T, 2) in mm.
    """
    length = ticks(duration)
    calm = 0.45 + 0.55 * liveliness[:length]
    calm = np.pad(calm, (0, length - len(calm)), mode="edge")
    slow = [wander(rng, length, hertz * style.pace) for hertz in (0.25, 0.16, 0.20)]
    quick = [wander(rng, length, hertz * style.pace) for hertz in (0.7, 0.6, 0.5)]
    nods = _nods(length, accents, rng)
    degrees = np.stack(
        [
            style.pitch * (0.88 * slow[0] + 0.47 * quick[0]) * calm + style.nod * nods,
            style.yaw * (0.95 * slow[1] + 0.30 * quick[1]) * calm + style.turn,
            style.roll * (0.93 * slow[2] + 0.36 * quick[2]) * calm + style.tilt,
        ],
        axis=1,
    )
    shift = np.stack([0.9 * wander(rng, length, 0.15), 0.5 * wander(rng, length, 0.2) + 0.4 * nods], axis=1)
    return np.radians(degrees), shift


def _nods(length: int, accents: NDArray[np.float32], rng: np.random.Generator) -> Signal:
    """A dip of the chin at each accent, with a small rise before it. 1 is a strong nod."""
    seconds = np.arange(length) / RATE
    nods = np.zeros(length)
    for at, strength in accents:
        size = float(strength) * rng.uniform(0.6, 1.0)
        around = slice(max(0, int((at - 0.8) * RATE)), int((at + 0.8) * RATE))
        since = seconds[around] - at
        nods[around] += size * np.exp(-(((since - 0.02) / 0.14) ** 2))
        nods[around] -= 0.45 * size * np.exp(-(((since + 0.24) / 0.16) ** 2))
    return nods


def follow_tracks(
    angles: Signal, tracks: tuple[Track | None, Track | None, Track | None], duration: float
) -> Signal:
    """Angles (T, 3) that follow the tracks. A small part of the free motion remains."""
    out = angles.copy()
    for k, track in enumerate(tracks):
        if track is not None:
            stops = np.linspace(0.0, duration, max(2, len(track.degrees)))
            degrees = track.degrees if len(track.degrees) > 1 else track.degrees * 2
            wanted = np.interp(np.arange(len(angles)) / RATE, stops, np.radians(degrees))
            out[:, k] = smooth(wanted, 0.08) + 0.15 * angles[:, k]
    return out


def keep_clean(angles: Signal) -> Signal:
    """Limit angles to `LIMITS` softly: linear up to two thirds, then approaching the limit."""
    knee = LIMITS * 2 / 3
    over = np.maximum(np.abs(angles) - knee, 0.0)
    room = LIMITS - knee
    bent: Signal = np.sign(angles) * (np.minimum(np.abs(angles), knee) + room * (1 - np.exp(-over / room)))
    return bent


def breathing(rng: np.random.Generator, duration: float) -> Signal:
    """Breath (T,) -1..1, about 16 per minute, never fully regular."""
    length = ticks(duration)
    rate = 0.27 * (1 + 0.12 * wander(rng, length, 0.1))
    phase = 2 * np.pi * (np.cumsum(rate) / RATE + rng.random())
    return np.sin(phase)
