"""What a connection may do: every byte that it sends is counted, and everything that it waits for has an end.

A connection is always in one of four phases: a *head* is arriving; a *body* is; the *answer* is being made or
sent; or it is *idle*. Each has a limit on bytes, and each but the answer one on time. A client that does not
take its answer is cut off too. The application limits bodies by itself (`api.upload`), with an answer that
says why. What is cut off here counts as a disconnect.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sadtalker_service.api.errors import problem_of
from sadtalker_service.api.schemas.problem import ProblemAnswer
from sadtalker_service.settings import Settings
from sadtalker_service.telemetry import metrics

log = structlog.get_logger(__name__)

MOST_HEAD_BYTES = 65_536
"""Of request line and headers; also of what comes between requests."""
HEAD_SECONDS = 20.0
"""A head must be there so long after its first byte, or after the connection was made."""
_MOST_HEADERS = 100
_MOST_PIPELINED = 16
"""Requests that wait on a connection for the answers before theirs."""
_SLACK_SECONDS = 10.0
_SLACK_BYTES = 80_000_000
"""So much more than the application takes: it refuses what is too large or too slow, and says why."""
_REST_BYTES = 64_000_000
_REST_SECONDS = 5.0
"""Of a body that goes on after its answer: many clients look for the answer only when they have sent all."""

Phase = Literal["head", "body", "answer", "idle"]
Reason = Literal["head", "body", "rest_of_body", "pipeline", "stray_bytes", "unread", "malformed"]


@dataclass(frozen=True)
class ConnectionLimits:
    """What a connection may do."""

    body_bytes: int
    """Bytes from the end of a head to the end of its body, chunk sizes, extensions and trailers included."""
    body_seconds: float
    """A body must be there so long after its head."""
    send_seconds: float
    """A client that took nothing of its answer for so long is cut off."""
    head_seconds: float = HEAD_SECONDS
    rest_seconds: float = _REST_SECONDS
    """A body must end so long after its answer."""


def connection_limits(settings: Settings) -> ConnectionLimits:
    """Those that go with what the application takes."""
    largest = max(settings.max_image_bytes, 3 * settings.max_audio_bytes)
    return ConnectionLimits(
        body_bytes=largest + _SLACK_BYTES,
        body_seconds=settings.upload_timeout_seconds + _SLACK_SECONDS,
        send_seconds=settings.send_timeout_seconds,
    )


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, limits: ConnectionLimits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._phase: Phase = "idle"
        self._bytes = 0
        """Received in this phase."""
        self._has_begun = False
        """Whether a byte of the head that is waited for has come, other than empty lines."""
        self._headers = 0
        """Of the head that is arriving."""
        self._cycles: list[Any] = []
        """Requests whose answers are not complete, in their order."""
        self._upgraded = False
        """Whether what comes now is not HTTP any more."""
        self._refusal: tuple[int, str, str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self._watch_timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base
        """A client has come."""
        super().connection_made(transport)
        self._watch_timer = self.loop.call_later(self._limits.send_seconds, self._watch)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        for timer in (self._timer, self._send_timer, self._watch_timer):
            if timer is not None:
                timer.cancel()
        for cycle in self._cycles:  # the base tells the latest one only
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come, of whatever."""
        if self._phase == "idle":
            self._await_head()
        self._bytes += len(data)
        if not self._upgraded:
            super().data_received(data)
        if self.transport.is_closing() or self._bytes <= self._most_bytes():
            return
        if self._phase == "head":
            self._refuse(
                431, "headers_too_large", f"The headers have more than {MOST_HEAD_BYTES:,} bytes.", "head"
            )
        else:
            self._cut("body" if self._phase == "body" else "stray_bytes")

    def pause_writing(self) -> None:
        """The client does not take its answer as fast as it is made."""
        super().pause_writing()
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(self._limits.send_seconds, self._cut, "unread")

    def resume_writing(self) -> None:
        """It has taken what there was."""
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """Nothing has come for long."""
        self._close()

    # ------------------------------------------------------------------ what the parser finds

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._await_head()
        self._has_begun = True
        self._headers = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer: nobody has a use for those."""
        if self._phase != "head":
            return
        self._headers += 1
        if self._headers > _MOST_HEADERS:
            message = f"The request has more than {_MOST_HEADERS} headers."
            self._refusal = (431, "headers_too_large", message)
            raise ValueError("too many headers")  # the parser stops, and the refusal is sent
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head of a request is there."""
        super().on_headers_complete()
        self._cycles = [*(cycle for cycle in self._cycles if not cycle.response_complete), self.cycle]
        self._enter("body", self._limits.body_seconds, lambda: self._cut("body"))
        if len(self.pipeline) > _MOST_PIPELINED:
            self._cut("pipeline")
            raise ValueError("too many requests at once")  # the parser stops

    def on_message_complete(self) -> None:
        """The body of a request is there."""
        super().on_message_complete()
        self._enter("answer")
        if self.cycle.response_complete:
            self._be_idle()

    def on_response_complete(self) -> None:
        """The whole answer was handed over to be sent."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if not self.cycle.response_complete:  # that of another request, before it
            return
        if self._phase == "answer":
            self._be_idle()
        elif self._phase == "body":
            self._enter("body", self._limits.rest_seconds, lambda: self._cut("rest_of_body"))

    def _unsupported_upgrade_warning(self) -> None:
        """The request wants another protocol; it is answered in this one, and was the last."""
        self._upgraded = True
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """What the parser cannot read."""
        del msg
        refusal = self._refusal or (400, "malformed_request", "This is not a valid HTTP request.")
        self._refuse(*refusal, "malformed")

    # ------------------------------------------------------------------ phases

    def _await_head(self) -> None:
        self._has_begun = False
        self._enter("head", self._limits.head_seconds, self._head_is_late)

    def _be_idle(self) -> None:
        self._enter("idle", self.timeout_keep_alive, self._close)

    def _enter(
        self, phase: Phase, seconds: float | None = None, then: Callable[[], None] | None = None
    ) -> None:
        self._phase, self._bytes = phase, 0
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, then) if seconds is not None and then else None

    def _most_bytes(self) -> int:
        if self._phase != "body":
            return MOST_HEAD_BYTES
        return _REST_BYTES if self.cycle.response_complete else self._limits.body_bytes

    # ------------------------------------------------------------------ ends

    def _head_is_late(self) -> None:
        if self._bytes and not self._has_begun:  # empty lines after a request
            self._close()
            return
        seconds = self._limits.head_seconds
        self._refuse(408, "upload_timeout", f"The headers did not arrive within {seconds:g} seconds.", "head")

    def _refuse(self, status: int, code: str, message: str, reason: Reason) -> None:
        """Answer, where nothing else is being answered on this connection, and close it."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            if self._phase == "head" or self.pipeline or self.cycle.response_started:
                self._cut(reason)  # words of ours would become a part of that answer
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        request_id = uuid.uuid4().hex
        log.info("connection_refused", reason=reason, status=status, request_id=request_id)
        metrics.connection_cut(reason)
        problem = problem_of(code, message, retryable=status == 408)
        body = ProblemAnswer(error=problem, detail=message).model_dump_json(exclude={"status"}).encode()
        head = (
            f"HTTP/1.1 {status} Refused\r\ncontent-type: application/json\r\ncache-control: no-store\r\n"
            f"x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self._close()

    def _cut(self, reason: Reason) -> None:
        """End the connection at once; whoever works on its answer sees a client that has gone."""
        if self.transport.is_closing() and reason != "unread":
            return
        log.info("connection_cut", reason=reason)
        metrics.connection_cut(reason)
        self.transport.abort()

    def _close(self) -> None:
        """Send what is to be sent, then close; `_watch` sees to it that this has an end."""
        if not self.transport.is_closing():
            self.transport.close()

    def _watch(self, was_closing: bool = False) -> None:
        """Now and then: a connection that is closing for long has a client that reads nothing."""
        closing = self.transport.is_closing()
        if closing and was_closing:
            self._cut("unread")
            return
        self._watch_timer = self.loop.call_later(self._limits.send_seconds, self._watch, closing)
