"""Head motion in 46 styles: turns that are held, nods at speech accents, breathing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sadtalker_service.domain import Track
from sadtalker_service.engines.mesh.motion.signals import RATE, Signal, Wander, smooth
from sadtalker_service.engines.mesh.motion.turns import Turns
from sadtalker_service.media.one_pole import one_pole

POSE_STYLES = 46

LIMITS = np.radians([11.0, 16.0, 13.0])
"""Largest pitch, yaw and roll that the warp draws without artefacts, radians."""

_CALM = 0.4
"""Share of the motion that remains in silence."""
_ACROSS, _DOWN, _TRAVEL = 0.26, 0.18, 4.2
"""A head that turns also moves there: mm per degree of yaw and pitch, and the farthest that it goes, mm."""
_FOLLOW, _LEAN = 0.25, 0.07
"""Share of the head's shift that the shoulders follow, and mm per degree of roll."""
_LAG = float(np.exp(-1.0 / (0.2 * RATE)))
"""Of each of two filters: together the shoulders are four tenths of a second late."""
_TRACK_SMOOTHING, _TRACK_EDGE = 0.08, 0.4
"""Standard deviation of the low-pass filter over a given track, and the time on both sides that it needs,
seconds."""


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
        return HeadStyle(pitch=5.0, yaw=16.0, roll=4.7, pace=1.0, nod=2.6, tilt=0.0, turn=0.0)
    rng = np.random.default_rng([46, number])
    lively = rng.uniform(0.6, 1.2)
    return HeadStyle(
        pitch=5.0 * lively * rng.uniform(0.7, 1.3),
        yaw=16.0 * lively * rng.uniform(0.6, 1.3),
        roll=4.8 * lively * rng.uniform(0.5, 1.4),
        pace=rng.uniform(0.75, 1.4),
        nod=rng.uniform(1.0, 3.2),
        tilt=rng.uniform(-1.6, 1.6),
        turn=rng.uniform(-1.6, 1.6),
    )


class HeadMotion:
    """Angles, shift and breath of the head, tick by tick without end."""

    def __init__(self, seeds: Sequence[np.random.Generator], style: HeadStyle) -> None:
        """`seeds`: ten sources of random numbers, one for each movement."""
        self._turns = Turns(seeds[0], style.pace)
        paces = [hertz * style.pace for hertz in (0.7, 0.6, 0.5)]
        self._waves = [
            Wander(rng, hertz) for rng, hertz in zip(seeds[3:], (*paces, 0.15, 0.2, 0.1), strict=False)
        ]
        self._style = style
        self._nod_sizes = seeds[-1]
        self._nods: list[tuple[float, float]] = []
        self._tick = 0
        self._lagging = [np.zeros(1), np.zeros(1)]
        """State of both filters of the shoulders."""
        self._phase = float(seeds[-1].random())

    def accent(self, at: float, strength: float) -> None:
        """A prosodic accent at `at` seconds, at least 0.6 s after all that was taken."""
        self._nods.append((at, strength * self._nod_sizes.uniform(0.6, 1.0)))

    def take(self, liveliness: Signal) -> Signal:
        """The next ticks, (T, 7): pitch, yaw and roll in radians, shift x and y in mm, shift of the shoulders
        in mm, and breath -1..1.

        `liveliness` (T,) 0..1: how active the speech is. The head is calmer in silence.
        """
        length = len(liveliness)
        calm = _CALM + (1.0 - _CALM) * liveliness
        turned = self._turns.take(length, [at for at, _size in self._nods]) * calm[:, None]
        *quick, across, down, pace = (wave.take(length) for wave in self._waves)
        nods, style = self._nodding(length), self._style
        breath = 0.27 * (1 + 0.12 * pace)  # about 16 per minute, never fully regular
        phase = self._phase + np.cumsum(breath) / RATE
        self._tick += length
        self._phase = float(phase[-1] % 1.0) if length else self._phase
        pitch = style.pitch * (turned[:, 0] + 0.30 * quick[0] * calm) + style.nod * nods
        yaw = style.yaw * (turned[:, 1] + 0.10 * quick[1] * calm) + style.turn
        roll = style.roll * (turned[:, 2] + 0.25 * quick[2] * calm) + style.tilt
        shift = _TRAVEL * np.tanh((0.9 * across - _ACROSS * yaw) / _TRAVEL)
        return np.stack(
            [
                *np.radians([pitch, yaw, roll]),
                shift,
                _TRAVEL * np.tanh((0.5 * down + 0.4 * nods + _DOWN * pitch) / _TRAVEL),
                self._shoulders(_FOLLOW * shift - _LEAN * roll),
                np.sin(2 * np.pi * phase),
            ],
            axis=1,
        )

    def _shoulders(self, wanted: Signal) -> Signal:
        """What the shoulders do: they come after the head."""
        for state in self._lagging:
            wanted = one_pole(wanted[:, None], _LAG, state)[:, 0] * (1 - _LAG)
        return wanted

    def _nodding(self, length: int) -> Signal:
        """A dip of the chin at each accent, with a small rise before it. 1 is a strong nod."""
        seconds = (self._tick + np.arange(length)) / RATE
        nods = np.zeros(length)
        for at, size in self._nods:
            since = seconds - at
            nods += size * np.exp(-(((since - 0.02) / 0.14) ** 2))
            nods -= 0.45 * size * np.exp(-(((since + 0.24) / 0.16) ** 2))
        now = (self._tick + length) / RATE
        self._nods = [(at, size) for at, size in self._nods if at > now - 1.0]
        return nods


def follow_tracks(
    angles: Signal, tracks: tuple[Track | None, Track | None, Track | None], duration: float, begin: int = 0
) -> Signal:
    """Angles (T, 3) that follow the tracks over `duration` seconds, from tick `begin` on.

    A small part of the free motion remains.
    """
    out = angles.copy()
    edge = int(_TRACK_EDGE * RATE)
    seconds = np.arange(begin - edge, begin + len(angles) + edge) / RATE
    for k, track in enumerate(tracks):
        if track is not None:
            stops = np.linspace(0.0, duration, max(2, len(track.degrees)))
            degrees = track.degrees if len(track.degrees) > 1 else track.degrees * 2
            wanted = np.interp(seconds, stops, np.radians(degrees))
            out[:, k] = smooth(wanted, _TRACK_SMOOTHING)[edge : edge + len(angles)] + 0.15 * angles[:, k]
    return out


def keep_clean(angles: Signal) -> Signal:
    """Limit angles to `LIMITS` softly: linear up to two thirds, then approaching the limit."""
    knee = LIMITS * 2 / 3
    over = np.maximum(np.abs(angles) - knee, 0.0)
    room = LIMITS - knee
    bent: Signal = np.sign(angles) * (np.minimum(np.abs(angles), knee) + room * (1 - np.exp(-over / room)))
    return bent
