"""Draws and encodes the frames of one connection, each when it is due, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import structlog

from sadtalker_service.domain import Quality
from sadtalker_service.live.avatar import LIVE_FPS, LiveAvatar, LiveEvent, LiveFrame, SpeakStarted
from sadtalker_service.live.pacing import Pacer
from sadtalker_service.media.encoder import NO_TAGS
from sadtalker_service.media.live_encoder import LiveEncoder
from sadtalker_service.telemetry import live_metrics
from sadtalker_service.worker.live.messages import event
from sadtalker_service.worker.live.recording import Recording

log = structlog.get_logger(__name__)

Deliver = Callable[[Sequence[str | bytes]], None]


class Drawing:
    """The stream of one connection, from `start` to `stop`."""

    def __init__(
        self,
        avatar: LiveAvatar,
        quality: Quality,
        deliver: Deliver,
        on_failure: Callable[[Exception], None],
        *,
        with_video: bool = True,
        tags: Mapping[str, str] = NO_TAGS,
        recording: Recording | None = None,
    ) -> None:
        """`deliver` and `on_failure` are called in the thread. Without `with_video`, only events are
        delivered. The video has `tags` in its metadata. `recording` gets it too, in the thread."""
        self._avatar = avatar
        self._deliver = deliver
        self._on_failure = on_failure
        self.viewer: Callable[[LiveFrame], None] | None = None
        """Gets every frame, in the thread."""
        self._pacer = Pacer(LIVE_FPS, time.monotonic)
        self._with_video = with_video
        self._recording = recording if recording and not recording.stopped else None
        encodes = with_video or self._recording
        self._encoder = LiveEncoder(avatar.size, LIVE_FPS, quality, tags) if encodes else None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self.is_speaking = False
        self.latency: float | None = None
        """Seconds from the arrival of sound to its frame, of the latest utterance."""

    @property
    def media_type(self) -> str | None:
        """Media type of the video, for players."""
        return self._encoder.media_type if self._encoder and self._with_video else None

    @property
    def frames(self) -> int:
        """Frames that were drawn."""
        return self._pacer.frames

    @property
    def late(self) -> int:
        """Those of them that were late."""
        return self._pacer.late

    def start(self) -> None:
        """Begin with the first frame."""
        self._thread.start()

    def stop(self) -> None:
        """End it, and wait for the thread."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._begin()
            turn = self._pacer.turn()
            while not self._stopped.wait(turn.wait):
                self._hand_on(self._avatar.next_frame(draw=turn.draw))
                self._pacer.done()
                turn = self._pacer.turn()
            self._end()
        except Exception as error:
            log.exception("live_drawing_failed")
            self._on_failure(error)

    def _begin(self) -> None:
        if self._encoder:
            if self._recording:
                self._recording.begin(self._encoder.initialisation)
            if self._with_video:
                self._deliver([self._encoder.initialisation])

    def _end(self) -> None:
        last = self._encoder.close() if self._encoder else b""
        if self._recording:
            self._recording.pause(last)
        if self._with_video:
            self._deliver([last])

    def _hand_on(self, frame: LiveFrame) -> None:
        messages: list[str | bytes] = [*self._messages(frame.events)]
        piece = self._encoder.encode(frame.picture, frame.sound) if self._encoder else b""
        if viewer := self.viewer:
            viewer(frame)
        if self._recording:
            messages += self._record(self._recording, piece)
        shown = [piece] if piece and self._with_video else []
        if messages or shown:
            self._deliver([*messages, *shown])

    def _record(self, recording: Recording, piece: bytes) -> list[str]:
        """Record what was encoded of a frame. What there is to tell the client."""
        recording.add(piece)
        if not recording.stopped:
            return []
        self._recording = None
        if not self._with_video:
            self._encoder = None
        seconds = round(recording.seconds, 2)
        return [
            event("session.recording_updated", status="stopped", reason=recording.stopped, seconds=seconds)
        ]

    def _messages(self, events: Sequence[LiveEvent]) -> Iterator[str]:
        for one in events:
            self.is_speaking = isinstance(one, SpeakStarted)
            if isinstance(one, SpeakStarted):
                self.latency = one.waited
                live_metrics.observe_latency(one.waited)
                yield event(
                    "agent.speak_started",
                    event_id=one.event_id,
                    latency_ms=round(1000 * one.waited),
                )
            else:
                yield event("agent.speak_ended", event_id=one.event_id, interrupted=one.interrupted)
