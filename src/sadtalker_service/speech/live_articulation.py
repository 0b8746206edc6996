"""Articulation of a live voice: what is heard now moves the lips, though a later sound may correct it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.media.voice_activity import TICK
from sadtalker_service.speech.articulation import Articulation, Articulator, HeardWindow
from sadtalker_service.speech.live_hearing import LOOK_AHEAD, LiveHearing
from sadtalker_service.speech.phonemes import SILENCE, Phoneme
from sadtalker_service.speech.running import RunningSource

Float32 = NDArray[np.float32]

FASTEST = np.array([3.6, 0.75, 2.6, 0.04, 0.29, 0.29, 0.09, 0.05], np.float32)
"""Largest change of each articulator in a tick, mm and shares: what 999 of 1000 ticks of recordings stay
below. A guess that is corrected would jump."""
_SHUTTING = 10
"""Ticks in which an interrupted mouth shuts: the middle of the third frame. It opens as fast again, which is
done before the first sound is heard."""
_AT_REST = 0.05
"""Largest value of the articulators of a mouth at rest."""


class LiveArticulator:
    """From sound to articulation, a few ticks at a time, without end."""

    def __init__(self, source: RunningSource, look_ahead: int = LOOK_AHEAD) -> None:
        """`source`: belongs to this voice alone. The first `look_ahead` ticks before the sound are silent."""
        self._source = source
        self._hearing = LiveHearing(source, look_ahead)
        self._articulator = Articulator()
        self._last: Float32 | None = None
        self._open = 1.0
        self._shut = False
        self.speak(np.zeros(look_ahead * TICK, np.float32))

    def tell(self, phonemes: Sequence[Phoneme], begin: float, seconds: float) -> None:
        """See `LiveHearing.tell`."""
        self._hearing.tell(phonemes, begin, seconds)

    def interrupt(self) -> None:
        """Drop the sound that moved nothing yet, and shut the mouth until there is speech again."""
        self._hearing.drop()
        self._shut = True

    def speak(self, samples: Float32) -> Articulation:
        """As many ticks as `samples` have: float32 (n · TICK,), mono, 16 kHz."""
        heard = self._hearing.hear(samples)
        window = self._articulator.push(heard)
        speaks = _has_speech(heard)
        motion = self._limited(window.articulators * self._opened(len(window.articulators), speaks=speaks))
        if not speaks and len(motion) and np.abs(motion[-1]).max() < _AT_REST:
            self._open, self._shut = 0.0, True
        return replace(window, articulators=motion)

    def close(self) -> None:
        """No more sound follows."""
        self._source.close()

    def _opened(self, ticks: int, *, speaks: bool) -> Float32:
        """float32 (ticks, 1): 0 at rest and after an interruption, 1 in speech, and the way between."""
        if self._open == 0.0 and speaks:
            self._shut = False
        steps = np.arange(1, ticks + 1) / _SHUTTING
        share = np.clip(self._open - steps if self._shut else self._open + steps, 0.0, 1.0)
        self._open = float(share[-1]) if ticks else self._open
        return np.asarray(share[:, None], np.float32)

    def _limited(self, motion: Float32) -> Float32:
        """The motion without steps that are larger than `FASTEST`."""
        for i, row in enumerate(motion):
            last = row if self._last is None else self._last
            motion[i] = self._last = last + np.clip(row - last, -FASTEST, FASTEST)
        return motion


def _has_speech(heard: HeardWindow) -> bool:
    tracks = [heard.track, heard.ahead] if heard.ahead else [heard.track]
    return any(p.label != SILENCE for t in tracks for s in t.segmentations for p in s.phonemes)
