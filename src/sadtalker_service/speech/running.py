"""Phonemes of sound that is still arriving: sources that give their best guess at any moment.

A guess may change while more sound arrives. How much sound after a moment makes it good enough is measured in
docs/live.md.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE
from sadtalker_service.media.voice_activity import TICK
from sadtalker_service.speech.phonemes import SILENCE, Phoneme, Segmentation
from sadtalker_service.speech.signal_source import LABELS, classify

if TYPE_CHECKING:
    from sadtalker_service.speech.streaming_decoder import StreamingDecoder

_log = logging.getLogger(__name__)

Samples = NDArray[np.float32]

_SECOND = SPEECH_RATE // TICK
_REMEMBERED = 2 * _SECOND
"""Ticks of sound from which the signal source takes the range of a voice."""
_LONG = 5 * _SECOND
_LONGEST = 15 * _SECOND
"""Ticks after which the decoder begins anew: the first in a pause, the second anywhere. The longer it
runs, the longer it takes to read its guess."""
_REPEATED = _SECOND // 2
"""Ticks of sound that a decoder hears again when it begins anew."""
_PAUSE = 0.15
"""Seconds of silence that make a pause."""


class RunningSource(Protocol):
    """A source of phonemes that hears sound piece by piece."""

    def begin(self, tick: int) -> None:
        """Sound follows from `tick` on. What was heard before is forgotten."""

    def push(self, samples: Samples) -> None:
        """The next samples: float32 (n · TICK,), mono, 16 kHz."""

    def guess(self) -> tuple[Segmentation, ...]:
        """The last seconds in one or several segmentations, up to about the last sample. Times count from
        tick 0."""

    def close(self) -> None:
        """No more sound follows. A source may be begun again."""


class RunningSignal:
    """The signal source over the last two seconds."""

    def begin(self, tick: int) -> None:
        """See `RunningSource`."""
        self._first = tick
        self._sound = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> None:
        """See `RunningSource`."""
        joined = np.concatenate([self._sound, samples])
        dropped = max(0, len(joined) // TICK - _REMEMBERED)
        self._sound = joined[dropped * TICK :]
        self._first += dropped

    def guess(self) -> tuple[Segmentation, ...]:
        """See `RunningSource`."""
        if not len(self._sound):
            return ()
        classes = classify(self._sound)
        edges = np.flatnonzero(np.diff(classes)) + 1
        bounds = [0, *edges.tolist(), len(classes)]
        at = [(self._first + tick) / _SECOND for tick in bounds]
        return (
            Segmentation(
                tuple(
                    Phoneme(LABELS[classes[tick]], start, end)
                    for tick, start, end in zip(bounds, at, at[1:], strict=False)
                )
            ),
        )

    def close(self) -> None:
        """See `RunningSource`."""


class RunningPhones:
    """Phones of pocketsphinx from one search that goes on while the sound arrives."""

    def __init__(self, decoder: StreamingDecoder) -> None:
        """`decoder`: belongs to this source alone."""
        self._decoder = decoder
        self._recent = np.zeros(0, np.float32)

    def begin(self, tick: int) -> None:
        """See `RunningSource`."""
        self._start = tick
        self._ticks = 0
        self._before: list[Phoneme] = []
        self._recent = self._recent[:0]
        self._decoder.begin()

    def push(self, samples: Samples) -> None:
        """See `RunningSource`."""
        if self._ticks >= _LONGEST or (self._ticks >= _LONG and self._in_pause()):
            self._begin_anew()
        self._decoder.push(samples)
        self._recent = np.concatenate([self._recent, samples])[-_REPEATED * TICK :]
        self._ticks += len(samples) // TICK

    def guess(self) -> tuple[Segmentation, ...]:
        """See `RunningSource`."""
        return (Segmentation((*self._before, *self._heard())),)

    def close(self) -> None:
        """See `RunningSource`."""
        self._decoder.end()

    def _heard(self) -> list[Phoneme]:
        begin = self._start / _SECOND
        phones = [Phoneme(p.label, begin + p.start, begin + p.end) for p in self._decoder.phones()]
        until = self._before[-1].end if self._before else begin
        later = [Phoneme(p.label, max(p.start, until), p.end) for p in phones if p.end > until + 1e-6]
        end = (self._start + self._ticks) / _SECOND
        last = later[-1].end if later else until
        label = later[-1].label if later else SILENCE  # the decoder is some frames behind the sound
        return [*later, Phoneme(label, last, end)] if end > last + 1e-6 else later

    def _in_pause(self) -> bool:
        phones = self._decoder.phones()
        return bool(phones) and phones[-1].label == SILENCE and phones[-1].end - phones[-1].start > _PAUSE

    def _begin_anew(self) -> None:
        """Begin a new search, which hears the last half second again."""
        now = self._start + self._ticks
        self._before = [p for p in self._heard() if p.end > now / _SECOND - 3.0]
        repeated = len(self._recent) // TICK
        self._start, self._ticks = now - repeated, repeated
        self._decoder.begin()
        self._decoder.push(self._recent)


def running_source() -> RunningSource:
    """A recogniser for one voice, or the signal alone if pocketsphinx is not installed."""
    try:
        from sadtalker_service.speech.streaming_decoder import StreamingDecoder  # noqa: PLC0415
    except ImportError as error:  # no wheel for this platform
        _log.warning("recogniser_missing, lips follow the signal alone: %s", error)
        return RunningSignal()
    return RunningPhones(StreamingDecoder())
