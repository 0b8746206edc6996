"""Convert lip articulation to the mouth channels of the rig."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.channels import CHANNELS, INDEX
from sadtalker_service.engines.mesh.faceframe import RestMouth
from sadtalker_service.engines.mesh.motion.signals import RATE, Signal, sample
from sadtalker_service.speech.articulation import Articulation
from sadtalker_service.speech.closing import BILABIAL, LABIODENTAL
from sadtalker_service.speech.visemes import (
    JAW,
    OPENING,
    PRESS,
    PUCKER,
    TONGUE,
    TUCK,
    VISEME_TARGETS,
    VISEMES,
    WIDTH,
)

JAW_MM, UPPER_LIP_MM, LOWER_LIP_MM, CORNERS_MM = 10.0, 3.0, 4.0, 7.2
"""Effect of the channels at full strength, mm. The first three open the mouth, the last widens it."""

_UPPER_SHARE = 0.36
"""Share of the upper lip in the part of the opening that the jaw does not make."""
_WIDEST = 26.0
"""Largest opening, mm."""
_NEUTRAL_WIDTH = 50.0
"""Width of a relaxed mouth, mm. A wider mouth in the source image is a smile, which must relax to purse."""
_NARROWEST = 0.27
"""Largest share of its width that a pursed mouth loses."""


def lip_motion(
    articulation: Articulation, times: Signal, mouth: RestMouth, expression_scale: float
) -> tuple[Signal, Signal, Signal]:
    """Mouth channels of every frame.

    Args:
        articulation: the articulation of the driven audio.
        times: seconds of the frames, (F,), evenly spaced from half a frame on.
        mouth: the mouth of the source image, where the motion starts.
        expression_scale: 1 = natural.

    Returns:
        channels float64 (F, C), tongue float64 (F,) 0..1, and the intended opening float64 (F,) in mm.
    """
    lips = LipMotion(mouth, expression_scale)
    lips.add(articulation)
    return lips.at(times, 2.0 * float(times[0]))


class LipMotion:
    """Lips of one window after the other."""

    def __init__(self, mouth: RestMouth, expression_scale: float) -> None:
        self._mouth = mouth
        self._scale = expression_scale
        self._rows = np.zeros((0, 8), np.float32)
        """Articulators from tick `_first` on."""
        self._first = 0
        self._closures = np.zeros((0, 3), np.float32)

    def add(self, window: Articulation) -> None:
        """The next window."""
        self._rows = np.concatenate([self._rows, window.articulators])
        self._closures = np.concatenate([self._closures, window.closures])

    def at(self, times: Signal, frame: float) -> tuple[Signal, Signal, Signal]:
        """As of `lip_motion`, for `times` within what was added. Later calls ask for later times.

        `frame` is the time from one frame to the next, seconds.
        """
        if not len(times):
            return np.zeros((0, len(CHANNELS))), np.zeros(0), np.zeros(0)
        wanted = sample(self._rows, times - self._first / RATE)
        wanted[:, :PUCKER] *= self._scale
        _close_on_time(wanted, self._closures, times, frame)
        channels, opening = to_channels(wanted, self._mouth)
        done = int(times[-1] * RATE) - self._first
        self._rows = self._rows[done:]
        self._first += done
        self._closures = self._closures[self._closures[:, 2] > times[-1] - 0.5]
        return channels, wanted[:, TONGUE], opening


def to_channels(wanted: Signal, mouth: RestMouth) -> tuple[Signal, Signal]:
    """Rig channels that give the mouth of the source image the wanted shape.

    Args:
        wanted: float (F, 8), see `speech.visemes.ARTICULATORS`.
        mouth: the mouth of the source image.

    Returns:
        channels float64 (F, C) and the opening of the lips float64 (F,) in mm.
    """
    opening = np.clip(wanted[:, OPENING], 0.0, _WIDEST)
    jaw = np.clip(np.minimum(wanted[:, JAW], 0.85 * opening), 0.0, 14.0)
    pucker, press = wanted[:, PUCKER], wanted[:, PRESS]
    rest = opening - jaw
    channels = np.zeros((len(wanted), len(CHANNELS)))
    channels[:, INDEX["jaw"]] = jaw / JAW_MM
    channels[:, INDEX["upper_lip"]] = _UPPER_SHARE * rest / UPPER_LIP_MM
    channels[:, INDEX["lower_lip"]] = (1 - _UPPER_SHARE) * rest / LOWER_LIP_MM
    channels[:, INDEX["wide"]] = wanted[:, WIDTH] / CORNERS_MM
    channels[:, INDEX["pucker"]] = pucker
    channels[:, INDEX["press"]] = press
    channels[:, INDEX["tuck"]] = wanted[:, TUCK]
    channels[:, INDEX["squint"]] = 0.10 * np.clip(channels[:, INDEX["wide"]], 0.0, 1.0)
    smile = max(0.0, mouth.width - _NEUTRAL_WIDTH)
    channels[:, INDEX["wide"]] -= 0.8 * smile / CORNERS_MM * pucker
    channels[:, INDEX["smile"]] -= 0.08 * smile * pucker
    narrowest = -_NARROWEST * mouth.width / CORNERS_MM
    channels[:, INDEX["wide"]] = np.maximum(channels[:, INDEX["wide"]], narrowest)
    return channels + rest_closure(mouth), opening


def rest_closure(mouth: RestMouth) -> Signal:
    """Channels (C,) that close the mouth of the source image.

    The jaw closes a mouth that is ajar. Lips and corners close a toothy smile.
    """
    toothy = mouth.toothy
    closure = np.zeros(len(CHANNELS))
    closure[INDEX["upper_lip"]] = -0.45 * toothy * mouth.opening / UPPER_LIP_MM
    closure[INDEX["lower_lip"]] = -0.30 * toothy * mouth.opening / LOWER_LIP_MM
    closure[INDEX["jaw"]] = -mouth.jaw_opening / JAW_MM
    closure[INDEX["wide"]] = -0.35 * toothy
    return closure


def _close_on_time(wanted: Signal, closures: NDArray[np.float32], times: Signal, frame: float) -> None:
    """Close the lips in one frame of every /p b m/, and tuck the lip in one frame of every /f v/.

    This holds for sounds of any length, however short. `frame` is the time from one frame to the next.
    """
    for kind, start, end in closures:
        middle = (start + end) / 2
        nearest = (max(0.0, np.round(middle / frame - 0.5)) + 0.5) * frame
        if not start - 0.06 <= nearest <= end + 0.06:
            continue
        around = np.exp(-(((times - nearest) / 0.030) ** 2))
        if kind == BILABIAL:
            for articulator in (OPENING, JAW, TONGUE):
                wanted[:, articulator] *= 1 - around
            wanted[:, PRESS] = np.maximum(wanted[:, PRESS], 0.8 * around)
        elif kind == LABIODENTAL:
            wanted[:, OPENING] *= 1 - 0.75 * around
            wanted[:, JAW] *= 1 - 0.6 * around
            wanted[:, TUCK] = np.maximum(wanted[:, TUCK], 0.9 * around)


def shape_controls(viseme: str, mouth: RestMouth) -> tuple[Signal, float]:
    """Channels (C,) and tongue 0..1 of one held viseme, for images of mouth shapes."""
    wanted = VISEME_TARGETS[VISEMES.index(viseme)][None].astype(np.float64)
    channels, _opening = to_channels(wanted, mouth)
    return channels[0], float(wanted[0, TONGUE])
