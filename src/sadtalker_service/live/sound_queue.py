"""The queue of sound to speak: utterances in the order of arrival. Safe to use from several threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SpokenTimeline
from sadtalker_service.engines.live_port import KnownSpeech
from sadtalker_service.errors import AlreadyEnded, AudioTooLarge, InvalidInput, InvalidOption
from sadtalker_service.live.events import LiveEvent, SpeakEnded, SpeakStarted
from sadtalker_service.live.resampling import StreamResampler

LIVE_RATE = 24_000
"""Samples per second of the sound of a live session."""
LONGEST_QUEUE = 120.0
"""Seconds of sound that may wait by default."""
RATES = (8_000, 48_000)
"""Lowest and highest rate of sound that is taken, Hz."""

_LEAST_BUFFER, _MOST_BUFFER, _BUFFER_STEP = 0.04, 0.24, 0.04
"""Seconds of sound with which an utterance begins. A source whose sound came late gets more."""
_LONGEST_WAIT = 0.06
"""Seconds after which an utterance begins with less."""
_GIVEN_UP = 1.0
"""Seconds without sound after which an utterance has ended."""
_FADE = 48
"""Samples over which sound fades that breaks off."""

Samples = NDArray[np.float32]


@dataclass
class _Utterance:
    event_id: str
    arrived: float
    pieces: deque[Samples] = field(default_factory=deque)
    waiting: int = 0
    """Samples in `pieces`."""
    known: deque[tuple[int, SpokenTimeline, int]] = field(default_factory=deque)
    """Sentences whose phonemes are known: samples until it begins, the times, and its samples."""
    complete: bool = False
    resampler: StreamResampler | None = None
    rate: int = 0


@dataclass(frozen=True, eq=False)
class Taken:
    """The sound of a moment."""

    sound: Samples
    known: tuple[KnownSpeech, ...]
    events: tuple[tuple[int, LiveEvent], ...]
    """With the sample of `sound` at which each happens."""
    interrupted: bool


class SoundQueue:
    """Sound that was pushed and is not spoken yet."""

    def __init__(self, clock: Callable[[], float], limit: float = LONGEST_QUEUE) -> None:
        """`clock`: seconds. `limit`: seconds of sound that may wait."""
        self._clock = clock
        self.limit = limit
        self._changed = Condition()
        self._waiting: deque[_Utterance] = deque()
        self._current: _Utterance | None = None
        self._starved = 0.0
        """Seconds for which the current utterance has had no sound."""
        self._buffer = _LEAST_BUFFER
        self._dropped: list[str] = []
        self._interrupted = False
        self._turn = 0
        """Counts the interruptions."""
        self._closed = False

    @property
    def seconds(self) -> float:
        """Seconds of sound that wait."""
        with self._changed:
            return self._seconds()

    def push(self, samples: Samples, rate: int, event_id: str) -> None:
        """Append sound to the utterance `event_id`, or begin it. Raises as `LiveAvatar.push_audio` does."""
        checked = _checked(samples, rate)
        with self._changed:
            self._check_open()
            self._check_room(len(checked) / rate)
            self._append(self._open(event_id), checked, rate)

    def finish(self, event_id: str) -> None:
        """Mark the utterance as complete. An unknown one has already ended, and is ignored."""
        with self._changed:
            for one in self._all():
                if one.event_id == event_id or (not event_id and one is self._newest()):
                    one.complete = True

    def push_sentence(self, samples: Samples, timeline: SpokenTimeline, event_id: str, turn: int) -> bool:
        """Append a sentence whose phonemes are known, once there is room.

        Returns False if there was an interruption since `turn`; then it is not appended.
        """
        checked = _checked(samples, LIVE_RATE)
        seconds = len(checked) / LIVE_RATE
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._closed
                    or self._turn != turn
                    or self._seconds() + seconds <= self.limit
                    or not self._seconds()
                )
            )
            if self._closed or self._turn != turn:
                return False
            one = self._open(event_id)
            one.known.append((one.waiting, timeline, len(checked)))
            self._append(one, checked, LIVE_RATE)
            return True

    def turn(self) -> int:
        """Number of the interruptions so far, for `push_sentence`."""
        with self._changed:
            self._check_open()
            return self._turn

    def clear(self) -> None:
        """Drop everything that waits."""
        with self._changed:
            self._dropped += [one.event_id for one in self._all()]
            self._current = None
            self._waiting.clear()
            self._interrupted = True
            self._turn += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Take no more sound. Threads that wait for room are released."""
        with self._changed:
            self._closed = True
            self._current = None
            self._waiting.clear()
            self._changed.notify_all()

    def take(self, count: int) -> Taken:
        """The next `count` samples: sound as far as there is any, then silence."""
        with self._changed:
            sound = np.zeros(count, np.float32)
            known: list[KnownSpeech] = []
            events: list[tuple[int, LiveEvent]] = [(0, SpeakEnded(name, True)) for name in self._dropped]
            interrupted, self._interrupted, self._dropped = self._interrupted, False, []
            at = 0
            while at < count:
                one = self._current or self._begin(at, events)
                if one is None or self._is_buffering(one):
                    break
                known += self._begin_sentences(one, at, count - at)
                at += _fill(one, sound[at:])
                if not one.waiting and one.complete:
                    events.append((at, SpeakEnded(one.event_id, False)))
                    self._current = None
                elif at < count:
                    _fade_out(sound[max(0, at - _FADE) : at])
                    break
            self._wait_for_sound((count - at) / LIVE_RATE, at, events)
            self._changed.notify_all()
            return Taken(sound, tuple(known), tuple(events), interrupted)

    def _begin(self, at: int, events: list[tuple[int, LiveEvent]]) -> _Utterance | None:
        """Begin the next utterance if it has enough sound."""
        one = self._waiting[0] if self._waiting else None
        if one is None:
            return None
        waited = self._clock() - one.arrived
        enough = one.waiting >= self._buffer * LIVE_RATE or waited >= max(_LONGEST_WAIT, self._buffer)
        if not (enough or one.complete):
            return None
        self._waiting.popleft()
        self._current, self._starved = one, 0.0
        events.append((at, SpeakStarted(one.event_id, one.arrived)))
        return one

    def _is_buffering(self, one: _Utterance) -> bool:
        """Whether sound that broke off waits until there is enough of it."""
        return bool(self._starved and not one.complete and one.waiting < self._buffer * LIVE_RATE)

    def _wait_for_sound(self, missing: float, at: int, events: list[tuple[int, LiveEvent]]) -> None:
        """Note that the current utterance has no sound, and end it after a while."""
        one = self._current
        if one is None or missing <= 0.0:
            self._starved = 0.0
            return
        if not self._starved:
            self._buffer = min(_MOST_BUFFER, self._buffer + _BUFFER_STEP)
        self._starved += missing
        if self._starved >= _GIVEN_UP:
            events.append((at, SpeakEnded(one.event_id, False)))
            self._current = None
            self._buffer = max(_LEAST_BUFFER, self._buffer - _BUFFER_STEP)

    def _begin_sentences(self, one: _Utterance, at: int, room: int) -> list[KnownSpeech]:
        """Sentences that begin in the next `room` samples."""
        begun = []
        while one.known and one.known[0][0] < room:
            begin, timeline, length = one.known.popleft()
            begun.append(KnownSpeech(timeline.phonemes, (at + begin) / LIVE_RATE, length / LIVE_RATE))
        one.known = deque((begin - room, timeline, length) for begin, timeline, length in one.known)
        return begun

    def _open(self, event_id: str) -> _Utterance:
        """The utterance to which sound belongs. One of another name ends those before."""
        newest = self._newest()
        if newest and not newest.complete and event_id in ("", newest.event_id):
            return newest
        if newest:
            newest.complete = True
        one = _Utterance(event_id, self._clock())
        self._waiting.append(one)
        return one

    def _append(self, one: _Utterance, samples: Samples, rate: int) -> None:
        if rate != one.rate:
            one.rate, one.resampler = rate, None if rate == LIVE_RATE else StreamResampler(rate, LIVE_RATE)
        sound = one.resampler.push(samples) if one.resampler else samples
        if len(sound):
            one.pieces.append(sound)
            one.waiting += len(sound)

    def _newest(self) -> _Utterance | None:
        return self._waiting[-1] if self._waiting else self._current

    def _all(self) -> list[_Utterance]:
        return [*([self._current] if self._current else []), *self._waiting]

    def _seconds(self) -> float:
        return sum(one.waiting for one in self._all()) / LIVE_RATE

    def _check_open(self) -> None:
        if self._closed:
            raise AlreadyEnded("The live session has ended. Start a new one.")

    def _check_room(self, seconds: float) -> None:
        waiting = self._seconds()
        if waiting + seconds > self.limit:
            raise AudioTooLarge(
                f"{waiting:.0f} s of sound are waiting to be spoken, and {seconds:.1f} s more would exceed"
                f" the limit of {self.limit:.0f} s. Send it later, or interrupt first.",
                param="audio",
                retry_after=max(1.0, waiting + seconds - self.limit),
            )


def _checked(samples: Samples, rate: int) -> Samples:
    """A copy with finite values between -1 and 1."""
    if not RATES[0] <= rate <= RATES[1]:
        raise InvalidOption(
            f"The sample rate is {rate} Hz, but must be between {RATES[0]} and {RATES[1]} Hz.", param="rate"
        )
    sound = np.asarray(samples)
    if sound.ndim != 1 or sound.dtype.kind != "f":
        raise InvalidInput("Sound must be one channel of numbers between -1 and 1.", param="audio")
    return np.clip(np.nan_to_num(sound.astype(np.float32), posinf=0.0, neginf=0.0), -1.0, 1.0)


def _fade_out(sound: Samples) -> None:
    sound *= np.linspace(1.0, 0.0, len(sound), dtype=np.float32)


def _fill(one: _Utterance, room: Samples) -> int:
    """Move samples of an utterance into `room`. Returns how many."""
    done = 0
    while one.pieces and done < len(room):
        piece = one.pieces.popleft()
        part = piece[: len(room) - done]
        room[done : done + len(part)] = part
        done += len(part)
        if len(part) < len(piece):
            one.pieces.appendleft(piece[len(part) :])
    one.waiting -= done
    return done
