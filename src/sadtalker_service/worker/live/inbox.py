"""Carries out the messages of a client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
import structlog
from numpy.typing import NDArray

from sadtalker_service.domain import SpokenText, SpokenTimeline
from sadtalker_service.errors import Busy, LiveQueueFull, SadTalkerError
from sadtalker_service.live.avatar import LiveAvatar
from sadtalker_service.worker.live.messages import LIVE_RATE, Listen, Say, Signal, Sound, parse_message

log = structlog.get_logger(__name__)

_MOST_TEXTS = 8
"""Texts that wait to be spoken. One more is refused."""

_ROOM_SECONDS = 0.1
"""How often a text that is spoken looks for room."""

Sentences = Iterator[tuple[NDArray[np.float32], SpokenTimeline]]


class Inbox:
    """Takes one message after the other, in the event loop's thread."""

    def __init__(
        self,
        avatar: LiveAvatar,
        queue_seconds: float,
        speak: Callable[[SpokenText], Sentences],
        on_error: Callable[[SadTalkerError], None],
    ) -> None:
        """`queue_seconds`: longest sound that may wait. `speak` turns a text into sound; it takes a while and
        runs in a thread, and so does `on_error` if it fails."""
        self._avatar = avatar
        self._queue_seconds = queue_seconds
        self._speak = speak
        self._on_error = on_error
        self._speaker = ThreadPoolExecutor(1, "live-speaker")
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._texts = 0
        self._turn = 0
        """Counts the interruptions: a text of an earlier turn is not spoken any more."""

    def take(self, data: str | bytes) -> bool:
        """Carry out a message. True if the client ends the session.

        Raises `MalformedRequest`, `InvalidOption`, `RequestTooLarge`, `LiveQueueFull`, `Busy`.
        """
        message = parse_message(data)
        if isinstance(message, Sound):
            self._hear(message)
        elif isinstance(message, Say):
            self._say(message)
        elif isinstance(message, Listen):
            self._avatar.listen(message.level)
        else:
            return self._signal(message)
        return False

    @property
    def is_waiting(self) -> bool:
        """Whether sound or texts wait to be spoken."""
        return self._texts > 0 or self._avatar.queued_seconds > 0

    def interrupt(self) -> None:
        """Drop everything that was not spoken yet."""
        with self._lock:
            self._turn += 1
        self._avatar.clear_buffer()

    def close(self) -> None:
        """Speak nothing more."""
        self._closed.set()
        self.interrupt()
        self._speaker.shutdown(wait=False, cancel_futures=True)

    def _signal(self, signal: Signal) -> bool:
        if signal.kind == "agent.speak_end":
            self._avatar.end_audio(signal.event_id)
        elif signal.kind == "agent.interrupt":
            self.interrupt()
        return signal.kind == "session.close"

    def _hear(self, sound: Sound) -> None:
        if not len(sound.samples):
            return
        seconds, waiting = len(sound.samples) / sound.rate, self._avatar.queued_seconds
        if waiting + seconds > self._queue_seconds:
            raise LiveQueueFull(
                f"{waiting:.0f} s of sound are already waiting. At most {self._queue_seconds:g} s may wait,"
                " so this piece was refused. Send it again later, no faster than in real time.",
                param="audio",
                retry_after=max(1.0, waiting + seconds - self._queue_seconds),
            )
        self._avatar.push_audio(sound.samples, sound.rate, sound.event_id)

    def _say(self, say: Say) -> None:
        with self._lock:
            if self._texts >= _MOST_TEXTS:
                raise Busy(
                    f"{self._texts} texts are already waiting to be spoken. Try again in a moment.",
                    retry_after=5.0,
                )
            self._texts += 1
            turn = self._turn
        self._speaker.submit(self._speak_text, say, turn)

    def _speak_text(self, say: Say, turn: int) -> None:
        try:
            sentences = self._speak(SpokenText(say.text, say.voice, say.rate))
            wanted = self._of_turn(sentences, turn)
            first = next(wanted, None)
            if first and first[1].phonemes:
                self._avatar.say(chain([first], wanted), say.event_id)
            elif first:  # the voice does not tell its phonemes: they are recognised
                self._push_all(chain([first], wanted), say.event_id, turn)
        except SadTalkerError as error:
            self._on_error(error)
        finally:
            with self._lock:
                self._texts -= 1

    def _push_all(self, sentences: Sentences, event_id: str, turn: int) -> None:
        for samples, _ in sentences:
            seconds = len(samples) / LIVE_RATE
            while self._avatar.queued_seconds + seconds > max(self._queue_seconds, seconds):
                if self._turn != turn or self._closed.wait(_ROOM_SECONDS):
                    return
            self._avatar.push_audio(samples, LIVE_RATE, event_id)
        self._avatar.end_audio(event_id)

    def _of_turn(self, sentences: Sentences, turn: int) -> Sentences:
        for sentence in sentences:
            if self._turn != turn:
                return
            yield sentence
