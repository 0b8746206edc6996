"""The phone search of pocketsphinx on sound that is still arriving."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE
from sadtalker_service.speech.passes import FULL_SCALE, PHONES, pcm16, phone_decoder, timed_phonemes
from sadtalker_service.speech.phonemes import Phoneme

_FIRST_PEAK = 0.35
"""Peak of a voice that was not heard yet."""
_PEAK = 0.8
_FALL = 0.998
"""Factor by which the remembered peak falls per call, about a half in 14 seconds."""


class StreamingDecoder:
    """One search after the other. It keeps what it learnt of the microphone.

    Not safe for several threads: each voice has its own, of about 20 MB.
    """

    def __init__(self) -> None:
        self._decoder = phone_decoder()
        self._decoder.activate_search(PHONES)
        self._running = False
        self._peak = _FIRST_PEAK
        self._seconds = 0.0

    def begin(self) -> None:
        """Begin a new search."""
        self.end()
        self._decoder.start_utt()
        self._running = True
        self._seconds = 0.0

    def push(self, samples: NDArray[np.float32]) -> None:
        """The next samples of a search that has begun: float32 (n,), mono, 16 kHz."""
        if not len(samples):
            return
        self._peak = max(self._peak * _FALL, float(np.abs(samples).max()), 1e-3)
        self._decoder.process_raw(pcm16(samples, _PEAK * FULL_SCALE / self._peak))
        self._seconds += len(samples) / SPEECH_RATE

    def phones(self) -> list[Phoneme]:
        """The best guess so far. Times are seconds since `begin`."""
        if not self._running:
            return []
        return timed_phonemes(list(self._decoder.segments()), 1.0, self._seconds)

    def end(self) -> None:
        """End the search, if there is one."""
        if self._running:
            self._decoder.end_utt()
            self._running = False
