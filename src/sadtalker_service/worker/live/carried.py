"""A live session in the process that carries it: its avatar, its connection, its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from sadtalker_service.errors import NotReady, SadTalkerError
from sadtalker_service.live.avatar import LiveAvatar, LiveFrame
from sadtalker_service.media.encoder import NO_TAGS
from sadtalker_service.state.live_records import (
    RESUMABLE,
    EndReason,
    LiveFigures,
    LiveSession,
    LiveState,
    request_body,
)
from sadtalker_service.worker.live.drawing import Drawing
from sadtalker_service.worker.live.inbox import Inbox
from sadtalker_service.worker.live.messages import LIVE_RATE, error_event, event
from sadtalker_service.worker.live.outbox import Outbox
from sadtalker_service.worker.live.recording import Recording
from sadtalker_service.worker.live.viewers import Viewer

log = structlog.get_logger(__name__)

REPLACED, TOO_SLOW = 4001, 4002
"""Close codes: the same session was opened elsewhere; the client does not read what it gets."""
_LAST_WORDS_SECONDS = 2.0
_BROKEN = "An internal error occurred. It was logged, and is not caused by your request."


class Carried:
    """For the event loop's thread."""

    def __init__(
        self,
        session: LiveSession,
        make_avatar: Callable[[LiveSession], LiveAvatar],
        make_inbox: Callable[[LiveSession, LiveAvatar, Callable[[SadTalkerError], None]], Inbox],
        tags: Mapping[str, str] = NO_TAGS,
        facts: Mapping[str, object] = MappingProxyType({}),
        recording: Recording | None = None,
    ) -> None:
        """`make_avatar` takes a while, and is called in a thread. `make_inbox` gets what reports an error
        to the client, from any thread. `tags` become metadata of the video, and the client gets `facts` with
        its first picture. `recording` gets everything that is shown."""
        self.session = session
        self.recording = recording
        self._facts = facts
        self._make_avatar = make_avatar
        self._make_inbox = make_inbox
        self._tags = tags
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[EndReason] = self._loop.create_future()
        self.recorded = asyncio.Event()
        """Set once the queue server knows the end: only then is the client told."""
        self._connection: ServerConnection | None = None
        self._with_video = True
        self._viewer: Viewer | None = None
        self._turn = asyncio.Lock()
        """Held by the connection that is served."""
        self._avatar: LiveAvatar | None = None
        self._inbox: Inbox | None = None
        self._outbox: Outbox | None = None
        self._drawing: Drawing | None = None
        self._before = LiveFigures()
        """Of earlier connections."""
        self._began_at = self._heard_at = self._away_since = time.monotonic()

    @property
    def state(self) -> LiveState:
        """The state that the queue server shows."""
        if self.ended.done():
            return "closed"
        return "connected" if self._connection else "away"

    @property
    def figures(self) -> LiveFigures:
        """The figures measured so far."""
        before, drawing, recording = self._before, self._drawing, self.recording
        if drawing is None or self._avatar is None:
            return before
        width, height = self._avatar.size
        return LiveFigures(
            before.frames + drawing.frames,
            before.late + drawing.late,
            drawing.latency,
            width,
            height,
            recording.seconds if recording else 0.0,
            recording.stopped if recording else None,
        )

    @property
    def mark(self) -> str:
        """What says that the video is synthetic, in words; empty if that is switched off."""
        return self._tags.get("comment", "")

    @property
    def seconds(self) -> float:
        """How long the session has been carried."""
        return time.monotonic() - self._began_at

    def quiet_seconds(self) -> float:
        """Time since the last message of the client, or since its last sound was spoken."""
        speaks = self._drawing is not None and self._drawing.is_speaking
        if speaks or (self._inbox is not None and self._inbox.is_waiting):
            self._heard_at = time.monotonic()
        return time.monotonic() - self._heard_at

    def away_seconds(self) -> float:
        """How long the client has had no connection; 0 while it has one."""
        return 0.0 if self._connection else time.monotonic() - self._away_since

    def end(self, reason: EndReason) -> None:
        """End the session. Only the first reason counts."""
        if not self.ended.done():
            self.ended.set_result(reason)

    async def serve(self, connection: ServerConnection, *, with_video: bool = True) -> None:
        """Serve a connection of the client until it or the session ends. It replaces an earlier one.

        Without `with_video` it carries events only; the picture goes to a WebRTC viewer.
        """
        self._with_video = with_video
        with structlog.contextvars.bound_contextvars(session_id=self.session.session_id):
            await self._take_over(connection)

    async def _take_over(self, connection: ServerConnection) -> None:
        earlier, self._connection = self._connection, connection
        if earlier is not None:
            await earlier.close(REPLACED, "The session was opened by another connection.")
        async with self._turn:
            if self._connection is connection:
                await self._serve(connection)

    async def answer(self, offer: str, make_viewer: Callable[[], Viewer]) -> str:
        """The SDP answer to an offer of WebRTC. The picture then goes to this viewer, no longer to an earlier
        one.

        Raises `NotReady` without an open WebSocket, `InvalidInput` for an unusable offer.
        """
        drawing = self._drawing
        if drawing is None:
            raise NotReady("Open the WebSocket of the session first. It carries the events.", retry_after=1.0)
        viewer = make_viewer()
        answer = await viewer.answer(offer)
        await self._close_viewer()
        self._viewer = viewer

        def show(frame: LiveFrame) -> None:
            self._loop.call_soon_threadsafe(viewer.push, frame)

        drawing.viewer = show
        return answer

    async def _close_viewer(self) -> None:
        viewer, self._viewer = self._viewer, None
        if viewer:
            await viewer.close()

    async def close(self) -> None:
        """Free the avatar, after the end."""
        async with self._turn:
            if self._inbox:
                self._inbox.close()
            if self._avatar:
                await asyncio.to_thread(self._avatar.close)

    async def _serve(self, connection: ServerConnection) -> None:
        self._outbox = outbox = Outbox(self._loop)
        self._heard_at = time.monotonic()
        outbox.put(self._state_event("connecting"))
        sending = asyncio.create_task(outbox.send_to(connection))
        try:
            await self._talk(connection, outbox, sending)
        except SadTalkerError as error:
            log.warning("live_session_failed", code=error.code, reason=error.message)
            outbox.put(error_event(error))
            self.end("failed")
        except Exception:  # whatever it is, the session must end and say so
            log.exception("live_session_broken")
            outbox.put(error_event(SadTalkerError(_BROKEN)))
            self.end("failed")
        finally:
            await self.stop_drawing()
            if self._connection is connection:
                self._connection, self._away_since = None, time.monotonic()
            await self._say_goodbye(connection, outbox, sending)

    async def _talk(self, connection: ServerConnection, outbox: Outbox, sending: asyncio.Task[None]) -> None:
        if self._avatar is None:
            self._avatar = await asyncio.to_thread(self._make_avatar, self.session)
            self._inbox = self._make_inbox(self.session, self._avatar, self._report)
        if self.ended.done():  # while the avatar was made
            return
        avatar, inbox = self._avatar, self._inbox
        assert inbox is not None  # noqa: S101  made with the avatar
        self._drawing = drawing = Drawing(
            avatar,
            self.session.spec.options.quality,
            outbox.deliver,
            self._on_failure,
            with_video=self._with_video,
            tags=self._tags,
            recording=self.recording,
        )
        width, height = avatar.size
        outbox.put(
            self._state_event(
                "connected",
                width=width,
                height=height,
                fps=avatar.fps,
                sample_rate=LIVE_RATE,
                media_type=drawing.media_type,
                **self._facts,
            )
        )
        drawing.start()
        receiving = asyncio.create_task(self._receive(connection, inbox, outbox))
        try:
            waiting: set[asyncio.Future[Any]] = {receiving, sending, outbox.overfull, self.ended}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            receiving.cancel()
            with suppress(asyncio.CancelledError):
                await receiving

    async def _receive(self, connection: ServerConnection, inbox: Inbox, outbox: Outbox) -> None:
        with suppress(ConnectionClosed):
            async for data in connection:
                self._heard_at = time.monotonic()
                try:
                    if inbox.take(data):
                        self.end("ended_by_client")
                except SadTalkerError as error:
                    outbox.put(error_event(error))

    def _report(self, error: SadTalkerError) -> None:
        """In a thread that speaks texts."""
        if self._outbox:
            self._outbox.deliver([error_event(error)])

    def _on_failure(self, _error: Exception) -> None:
        """In the thread that draws."""
        self._loop.call_soon_threadsafe(self.end, "failed")

    async def stop_drawing(self) -> None:
        """Draw no more frames for this connection. Only then are `figures` final. May be called again."""
        await self._close_viewer()
        drawing = self._drawing
        if drawing is None:
            return
        await asyncio.to_thread(drawing.stop)
        if self._drawing is drawing:
            self._before, self._drawing = self.figures, None
        if self._inbox:
            self._inbox.interrupt()  # a client that comes back does not want to hear the rest

    async def _say_goodbye(
        self, connection: ServerConnection, outbox: Outbox, sending: asyncio.Task[None]
    ) -> None:
        code, why = 1000, ""
        if outbox.is_overfull:
            code, why = TOO_SLOW, "The client reads more slowly than the video is made."
        elif self.ended.done():
            why = reason = self.ended.result()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_SECONDS):
                    await self.recorded.wait()
            outbox.put(self._state_event("closed", reason=reason, **dict(self._after(reason))))
        outbox.close()
        await asyncio.wait({sending}, timeout=_LAST_WORDS_SECONDS)
        sending.cancel()
        await connection.close(code, why)

    def _after(self, reason: EndReason) -> Iterator[tuple[str, object]]:
        """What the client can do after the end."""
        if self.recording:
            yield "recording", {"status": "saving" if self.recording.seconds else "lost"}
        if reason in RESUMABLE:
            yield "resume", {"method": "POST", "href": "/api/live", "body": request_body(self.session.spec)}

    def _state_event(self, state: str, **more: object) -> str:
        return event("session.state_updated", session_id=self.session.session_id, state=state, **more)
