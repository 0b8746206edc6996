"""A live avatar for asyncio, in the shape that LiveKit calls a `VideoGenerator`.

Sound goes in with `push_audio`, `clear_buffer` interrupts, and iterating gives frames with their sound, in
real time. `examples/livekit_agent.py` and `examples/pipecat_agent.py` use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.errors import InvalidInput
from sadtalker_service.live.avatar import LiveAvatar, LiveFrame
from sadtalker_service.live.events import SpeakStarted
from sadtalker_service.live.pacing import Pacer

_FULL_SCALE = 32_768.0
_LEAST_WAIT = 0.1
"""Seconds between two looks at a full queue."""


class PcmFrame(Protocol):
    """A piece of sound as agents send it, such as `livekit.rtc.AudioFrame`."""

    @property
    def data(self) -> memoryview | bytes:
        """16-bit samples, the channels interleaved."""

    @property
    def sample_rate(self) -> int:
        """Hz."""

    @property
    def num_channels(self) -> int:
        """1 for mono."""


class SegmentEnd:
    """An utterance is complete."""


class AvatarGenerator:
    """Paces one avatar and draws it in a thread of its own. All methods belong to one event loop."""

    def __init__(self, avatar: LiveAvatar, pacer: Pacer | None = None) -> None:
        """`avatar` belongs to the generator from now on. `pacer`: by default real time."""
        self.avatar = avatar
        self.pacer = pacer or Pacer(avatar.fps)
        self.speaking = False
        """Whether speech is heard in the frame that was given last."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._numbers = count(1)
        self._event_id = ""
        self._closed = False

    async def push_audio(self, frame: PcmFrame | SegmentEnd) -> None:
        """Speak this piece, or end the utterance. Waits while too much sound is queued.

        Raises the errors of `LiveAvatar.push_audio`.
        """
        if isinstance(frame, SegmentEnd):
            self.avatar.end_audio(self._event_id)
            self._event_id = ""
            return
        if not self._event_id:
            self._event_id = f"utterance-{next(self._numbers)}"
        samples = mono(frame)
        while self.avatar.room_seconds < len(samples) / frame.sample_rate and self.avatar.queued_seconds:
            await asyncio.sleep(_LEAST_WAIT)
        self.avatar.push_audio(samples, frame.sample_rate, self._event_id)

    def clear_buffer(self) -> None:
        """Interrupt, see `LiveAvatar.clear_buffer`. The next sound begins a new utterance."""
        self.avatar.clear_buffer()
        self._event_id = ""

    async def __aiter__(self) -> AsyncIterator[LiveFrame]:
        """Frames, each when it is due, until `aclose`."""
        loop = asyncio.get_running_loop()
        while not self._closed:
            turn = self.pacer.turn()
            await asyncio.sleep(turn.wait)
            if self._closed:
                return
            frame = await loop.run_in_executor(self._thread, partial(self.avatar.next_frame, draw=turn.draw))
            self.pacer.done()
            goes_on = self._goes_on(frame)
            self.speaking = self.speaking or any(isinstance(e, SpeakStarted) for e in frame.events)
            yield frame
            self.speaking = goes_on

    def _goes_on(self, frame: LiveFrame) -> bool:
        """Whether speech is heard after the events of the frame."""
        speaks = self.speaking
        for event in frame.events:
            speaks = isinstance(event, SpeakStarted)
        return speaks

    async def aclose(self) -> None:
        """End the iteration and the session."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self.avatar.close)
        self._thread.shutdown(wait=False)


def mono(frame: PcmFrame) -> NDArray[np.float32]:
    """float32 (n,) -1..1, the mean of the channels.

    Raises `InvalidInput` if the data is not 16-bit samples of this many channels.
    """
    data = bytes(frame.data)
    if frame.num_channels < 1 or len(data) % (2 * frame.num_channels):
        raise InvalidInput(
            f"{len(data)} bytes are not 16-bit samples of {frame.num_channels} channels.", param="audio"
        )
    samples = np.frombuffer(data, "<i2").reshape(-1, frame.num_channels)
    return np.asarray(samples.mean(axis=1) / _FULL_SCALE, np.float32)


def pcm16(sound: NDArray[np.float32]) -> bytes:
    """16-bit samples of a frame's sound."""
    scaled = np.clip(np.round(sound * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
    return scaled.astype(np.dtype("<i2")).tobytes()
