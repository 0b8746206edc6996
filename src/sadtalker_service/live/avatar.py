"""An avatar that speaks the sound that arrives, and idles and listens in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Avatar, Motion, SpokenTimeline
from sadtalker_service.engines.live_port import LiveMoment
from sadtalker_service.engines.port import Engine
from sadtalker_service.live.events import LiveEvent, SpeakEnded, SpeakStarted
from sadtalker_service.live.resampling import StreamResampler
from sadtalker_service.live.sound_queue import LIVE_RATE, LONGEST_QUEUE, SoundQueue
from sadtalker_service.options import RenderOptions

__all__ = ["LIVE_FPS", "LIVE_RATE", "LiveAvatar", "LiveEvent", "LiveFrame", "SpeakEnded", "SpeakStarted"]

LIVE_FPS: Literal[25] = 25
"""Frames per second of a live session."""

_FADE = 120
"""Samples in which interrupted sound fades: 5 ms."""


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """One frame of a live session, and the sound that plays while it is shown."""

    index: int
    """Counts from 0 at the beginning of the session. The frame's time is index / fps seconds."""
    picture: NDArray[np.uint8]
    """uint8 (H, W, 3), RGB."""
    sound: NDArray[np.float32]
    """float32 (LIVE_RATE // fps,), mono, -1..1. Zeros while idling."""
    events: tuple[LiveEvent, ...] = ()
    """What happens at this frame, in order."""


class LiveAvatar:
    """Takes sound at any time, and draws one frame after the other.

    `push_audio`, `end_audio`, `say`, `clear_buffer` and `listen` may be called from any thread, `next_frame`
    from one at a time. Sound plays `look_ahead` seconds after it was taken from the queue, because the
    lips need to know the sounds that follow. Picture and sound have the same delay.
    """

    fps = LIVE_FPS

    def __init__(
        self,
        engine: Engine,
        avatar: Avatar,
        options: RenderOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        queue_seconds: float = LONGEST_QUEUE,
    ) -> None:
        """`clock`: seconds; measures how long sound has waited. `queue_seconds`: how much sound may wait.

        Raises `UnsupportedByEngine` if the engine cannot talk live.
        """
        options = replace(options, fps=LIVE_FPS)
        self.size: tuple[int, int] = engine.frame_size(avatar, options)
        """(width, height) of the pictures."""
        self._driver = engine.live_driver(avatar, options)
        self._clock = clock
        self._queue = SoundQueue(clock, queue_seconds)
        self._canvas = _Canvas(engine, avatar, options)
        self._to_speech = StreamResampler(LIVE_RATE, SPEECH_RATE)
        self._delay = round(self._driver.look_ahead * LIVE_RATE)
        self._coming = np.zeros(self._delay, np.float32)
        """Sound that the driver knows and that is not heard yet."""
        self._events: list[tuple[int, LiveEvent]] = []
        """With the samples until each happens."""
        self._visitor = 0.0
        self._index = 0

    @property
    def look_ahead(self) -> float:
        """Seconds by which sound and picture are delayed."""
        return self._driver.look_ahead

    @property
    def room_seconds(self) -> float:
        """Seconds of sound that may be pushed now."""
        return max(0.0, self._queue.limit - self._queue.seconds)

    @property
    def queued_seconds(self) -> float:
        """Seconds of sound that wait to be spoken."""
        return self._queue.seconds

    def push_audio(self, samples: NDArray[np.float32], rate: int, event_id: str = "") -> None:
        """Speak this sound after what waits already.

        Args:
            samples: float (n,), mono, -1..1, of any length.
            rate: 8,000 to 48,000 Hz.
            event_id: id of its utterance. A new id begins a new utterance, an empty one continues the latest.

        Raises `AudioTooLarge` if more than `queue_seconds` would wait, `InvalidOption` for the rate,
        `InvalidInput` for the samples, and `AlreadyEnded` after `close`.
        """
        self._queue.push(samples, rate, event_id)

    def end_audio(self, event_id: str = "") -> None:
        """Mark the utterance as complete; without an id, the latest one.

        Without this call, an utterance ends when no sound has come for a second.
        """
        self._queue.finish(event_id)

    def say(self, speech: Iterable[tuple[NDArray[np.float32], SpokenTimeline]], event_id: str = "") -> None:
        """Speak sentences of a synthesised voice, whose phonemes are known.

        Takes the sentences in the calling thread, and waits while the queue is full. Returns when the last
        one is queued, or after `clear_buffer` or `close`.

        Args:
            speech: samples float32 (n,), mono, `LIVE_RATE`, and when what is spoken in them.
            event_id: see `push_audio`.
        """
        turn = self._queue.turn()
        for samples, timeline in speech:
            if not self._queue.push_sentence(samples, timeline, event_id, turn):
                return
        self._queue.finish(event_id)

    def clear_buffer(self) -> None:
        """Interrupt: drop all sound that was not heard yet. The mouth is shut within three frames."""
        self._queue.clear()

    def listen(self, level: float) -> None:
        """Set the level of the visitor's voice, 0..1, until the next call."""
        self._visitor = min(max(float(level), 0.0), 1.0)

    def next_frame(self, *, draw: bool = True) -> LiveFrame:
        """Draw the next frame. It never waits for sound: without any, the avatar idles.

        `draw`: False repeats the last picture, to catch up with the time. Sound and motion go on.
        """
        count = LIVE_RATE // LIVE_FPS
        taken = self._queue.take(count)
        if taken.interrupted:
            self._interrupt()
        moment = LiveMoment(self._to_speech.push(taken.sound), taken.known, taken.interrupted, self._visitor)
        motion = self._driver.move(moment)
        self._coming = np.concatenate([self._coming, taken.sound])
        self._events += [(at if _is_dropped(e) else self._delay + at, e) for at, e in taken.events]
        sound, self._coming = self._coming[:count], self._coming[count:]
        picture = self._canvas.draw(motion) if draw or self._index == 0 else self._canvas.picture
        frame = LiveFrame(self._index, picture, sound, self._due_events(count))
        self._index += 1
        return frame

    def close(self) -> None:
        """End the session and free its resources. Further sound is refused."""
        self._queue.close()
        self._driver.close()
        self._canvas.close()

    def _interrupt(self) -> None:
        """Drop the sound that the driver knows, and the beginnings and ends in it."""
        fade = min(_FADE, self._delay)
        self._coming[:fade] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
        self._coming[fade:] = 0.0
        ended = [e.event_id for _, e in self._events if isinstance(e, SpeakEnded)]
        self._events = [(0, SpeakEnded(event_id, True)) for event_id in ended]

    def _due_events(self, count: int) -> tuple[LiveEvent, ...]:
        now = self._clock()
        due = [e for at, e in self._events if at < count]
        self._events = [(at - count, e) for at, e in self._events if at >= count]
        return tuple(replace(e, waited=now - e.waited) if isinstance(e, SpeakStarted) else e for e in due)


def _is_dropped(event: LiveEvent) -> bool:
    return isinstance(event, SpeakEnded) and event.interrupted


class _Canvas:
    """Draws one motion after the other with the engine's `render`."""

    def __init__(self, engine: Engine, avatar: Avatar, options: RenderOptions) -> None:
        self._next: Motion | None = None
        rendering = engine.render(avatar, self._motions(), options)
        self._background, self._box = rendering.background, rendering.box
        self._batches = rendering.batches
        self.picture: NDArray[np.uint8] = rendering.background
        """The last one, uint8 (H, W, 3)."""

    def draw(self, motion: Motion) -> NDArray[np.uint8]:
        """The picture of one frame's motion."""
        self._next = motion
        x0, y0, x1, y1 = self._box
        picture = self._background.copy()
        picture[y0:y1, x0:x1] = next(self._batches)[0]
        self.picture = picture
        return picture

    def close(self) -> None:
        """End the rendering."""
        close = getattr(self._batches, "close", None)
        if close:
            close()

    def _motions(self) -> Iterator[Motion]:
        while self._next is not None:
            motion, self._next = self._next, None
            yield motion
