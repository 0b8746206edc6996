"""Motion of a live session: the same hearing, articulation and driver as for files, frame by frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Motion
from sadtalker_service.engines.live_port import LiveDriver, LiveMoment
from sadtalker_service.engines.mesh.channels import INDEX
from sadtalker_service.engines.mesh.faceframe import RestMouth
from sadtalker_service.engines.mesh.kernels.scene import GAZE_X, GAZE_Y
from sadtalker_service.engines.mesh.motion.drive import Driver
from sadtalker_service.media.voice_activity import TICK
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.seeds import random_stream
from sadtalker_service.speech.live_articulation import LiveArticulator
from sadtalker_service.speech.live_hearing import LOOK_AHEAD
from sadtalker_service.speech.phonemes import Phoneme
from sadtalker_service.speech.running import RunningSource, running_source

_RATE = SPEECH_RATE // TICK
_NOD_DELAY = 0.6
"""Seconds by which nods and brows come after their accent. A nod begins before its peak, and a live voice
cannot tell an accent before."""


class MeshLiveDriver(LiveDriver):
    """Controls of the mesh, one row per frame."""

    look_ahead = LOOK_AHEAD / _RATE

    def __init__(self, mouth: RestMouth, options: RenderOptions, source: RunningSource | None = None) -> None:
        """`source`: where phonemes come from. By default a recogniser of its own."""
        style = replace(options, input_pitch=None, input_yaw=None, input_roll=None)
        self._articulator = LiveArticulator(source or running_source())
        self._driver = Driver(mouth, style, None)
        self._attention = _Attention(random_stream(options.seed, options.pose_style, 7))

    def move(self, moment: LiveMoment) -> Motion:
        """`controls` float32 (1, CONTROLS) and `opening` float32 (1,) in mm. See `LiveDriver`."""
        if moment.interrupted:
            self._articulator.interrupt()
        for known in moment.known:
            phonemes = [Phoneme(p.label, p.start, p.end) for p in known.phonemes]
            self._articulator.tell(phonemes, known.begin, known.seconds)
        window = self._articulator.speak(moment.sound)
        late = window.accents + np.array([_NOD_DELAY, 0.0], np.float32)
        now = (window.begin + len(window.articulators)) / _RATE
        nods = self._attention.nods(moment.visitor, now, len(window.articulators) / _RATE)
        motion = self._driver.speak(replace(window, accents=np.concatenate([late, nods])), margin=0.0)
        return self._attention.applied(motion)

    def close(self) -> None:
        """End the recogniser's search."""
        self._articulator.close()


class _Attention:
    """Nods and looks of a listener. Follows the level of the visitor's voice."""

    _RISE, _FALL = 0.15, 0.04
    """Shares of the way to a higher and to a lower level in one frame."""
    _TALKS = 0.12
    """Level above which the visitor talks."""
    _LEAST_TALK = 0.8
    """Seconds of talk before the first nod."""
    _APART = (1.6, 3.6)
    """Seconds between nods."""
    _STRENGTH = (0.25, 0.5)
    """Of a nod, where 1 is a strong accent of speech."""
    _BROW = 0.15
    """How far brows rise."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._level = 0.0
        self._until_nod = self._LEAST_TALK

    def nods(self, level: float, now: float, seconds: float) -> NDArray[np.float32]:
        """float32 (0 or 1, 2): time and strength of a nod that begins now. `level` 0..1 holds for
        `seconds`."""
        share = self._RISE if level > self._level else self._FALL
        self._level += share * (min(max(level, 0.0), 1.0) - self._level)
        if self._level < self._TALKS:
            self._until_nod = max(self._until_nod, self._LEAST_TALK)
            return np.zeros((0, 2), np.float32)
        self._until_nod -= seconds
        if self._until_nod > 0.0:
            return np.zeros((0, 2), np.float32)
        self._until_nod = float(self._random.uniform(*self._APART))
        return np.array([[now + _NOD_DELAY, self._random.uniform(*self._STRENGTH)]], np.float32)

    def applied(self, motion: Motion) -> Motion:
        """The motion with the eyes nearer to the viewer and the brows a little raised."""
        attention = min(1.0, self._level / (2 * self._TALKS))
        controls = motion.coefficients["controls"]
        controls[:, [GAZE_X, GAZE_Y]] *= 1.0 - 0.7 * attention
        controls[:, INDEX["brow"]] += self._BROW * attention
        return motion
