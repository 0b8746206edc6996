"""Limits of a connection: all received bytes are counted, and every wait has a timeout.

A connection is always in one of four phases. A *head* arrives, a *body* arrives, the *answer* is computed or
sent, or the connection is *idle*. Each phase has a limit on bytes, and each but the answer a limit on time.
A client that does not read its answer is disconnected too. The application limits bodies itself
(`api.upload`), with a response that gives the reason. A connection cut here counts as a disconnect.
"""

from __future__ import annotations

import asyncio
import re
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
"""Limit on request line and headers, and on bytes between requests."""
HEAD_SECONDS = 20.0
"""Time limit of a head, from its first byte or from the start of the connection."""
_MOST_HEADERS = 100
_MOST_PIPELINED = 16
"""Requests that may wait on a connection for earlier responses."""
_SLACK_SECONDS = 10.0
_SLACK_BYTES = 80_000_000
"""Margin above the limits of the application, which refuses large and slow bodies with a reason."""
_REST_BYTES = 64_000_000
_REST_SECONDS = 5.0
"""Limits on a body that continues after its response. Many clients send everything before they read."""

_WEBSOCKETS = re.compile(rb"/api/live/[^/?]+/ws(\?.*)?")

Phase = Literal["head", "body", "answer", "idle"]
Reason = Literal["head", "body", "rest_of_body", "pipeline", "stray_bytes", "unread", "malformed"]


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of one connection."""

    body_bytes: int
    """Bytes from the end of a head to the end of its body, including chunk sizes, extensions and trailers."""
    body_seconds: float
    """Time limit of a body, from the end of its head."""
    send_seconds: float
    """A client that reads nothing of its response for this long is disconnected."""
    head_seconds: float = HEAD_SECONDS
    rest_seconds: float = _REST_SECONDS
    """Time limit of a body, from the end of its response."""


def connection_limits(settings: Settings) -> ConnectionLimits:
    """The limits that match those of the application."""
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
        """Whether a byte of the expected head has arrived, other than empty lines."""
        self._headers = 0
        """Number of headers in the head that is arriving."""
        self._cycles: list[Any] = []
        """Requests with incomplete responses, in their order."""
        self._upgraded = False
        """Whether the following bytes are no longer HTTP."""
        self._refusal: tuple[int, str, str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self._watch_timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base
        """A client has connected."""
        super().connection_made(transport)
        self._watch_timer = self.loop.call_later(self._limits.send_seconds, self._watch)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has disconnected."""
        self._cancel_timers()
        for cycle in self._cycles:  # the base class notifies only the latest one
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived in any phase."""
        if self._phase == "idle":
            self._await_head()
        self._bytes += len(data)
        if not self._upgraded:
            super().data_received(data)
        if self.transport.is_closing() or self._bytes <= self._most_bytes():
            return
        if self._phase == "head":
            message = f"The headers are larger than the limit of {MOST_HEAD_BYTES:,} bytes."
            self._refuse(431, "headers_too_large", message, "head")
        else:
            self._cut("body" if self._phase == "body" else "stray_bytes")

    def pause_writing(self) -> None:
        """The client reads its response more slowly than it is produced."""
        super().pause_writing()
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(self._limits.send_seconds, self._cut, "unread")

    def resume_writing(self) -> None:
        """The client has read the buffered bytes."""
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """The idle connection has timed out."""
        self._close()

    # ------------------------------------------------------------------ parser callbacks

    def on_message_begin(self) -> None:
        """The first byte of a request has arrived."""
        super().on_message_begin()
        self._await_head()
        self._has_begun = True
        self._headers = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has arrived, or a trailer, which is ignored."""
        if self._phase != "head":
            return
        self._headers += 1
        if self._headers > _MOST_HEADERS:
            message = f"The request has more than {_MOST_HEADERS} headers."
            self._refusal = (431, "headers_too_large", message)
            raise ValueError("too many headers")  # stops the parser; then the refusal is sent
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head of a request is complete."""
        super().on_headers_complete()
        if self._becomes_websocket():
            return
        self._cycles = [*(cycle for cycle in self._cycles if not cycle.response_complete), self.cycle]
        self._enter("body", self._limits.body_seconds, lambda: self._cut("body"))
        if len(self.pipeline) > _MOST_PIPELINED:
            self._cut("pipeline")
            raise ValueError("too many requests at once")  # stops the parser

    def on_message_complete(self) -> None:
        """The body of a request is complete."""
        super().on_message_complete()
        if self._becomes_websocket():
            return
        self._enter("answer")
        if self.cycle.response_complete:
            self._be_idle()

    def on_response_complete(self) -> None:
        """The whole response was handed over for sending."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if not self.cycle.response_complete:  # the response of an earlier request
            return
        if self._phase == "answer":
            self._be_idle()
        elif self._phase == "body":
            self._enter("body", self._limits.rest_seconds, lambda: self._cut("rest_of_body"))

    def _should_upgrade(self) -> bool:
        """Only live sessions have WebSockets. Elsewhere the request is answered in HTTP."""
        return super()._should_upgrade() and _WEBSOCKETS.fullmatch(self.url) is not None

    def _becomes_websocket(self) -> bool:
        return bool(self.parser.should_upgrade()) and self._should_upgrade()

    def handle_websocket_upgrade(self) -> None:
        """The connection becomes a WebSocket, which has limits of its own."""
        self._upgraded = True
        self._cancel_timers()
        super().handle_websocket_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """The request asks for another protocol. It is answered in HTTP and is the last one."""
        self._upgraded = True
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """The parser cannot read the request."""
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

    def _cancel_timers(self) -> None:
        for timer in (self._timer, self._send_timer, self._watch_timer):
            if timer is not None:
                timer.cancel()

    def _most_bytes(self) -> int:
        if self._phase != "body":
            return MOST_HEAD_BYTES
        return _REST_BYTES if self.cycle.response_complete else self._limits.body_bytes

    # ------------------------------------------------------------------ ends

    def _head_is_late(self) -> None:
        if self._bytes and not self._has_begun:  # only empty lines after a request
            self._close()
            return
        seconds = self._limits.head_seconds
        self._refuse(408, "upload_timeout", f"The headers did not arrive within {seconds:g} seconds.", "head")

    def _refuse(self, status: int, code: str, message: str, reason: Reason) -> None:
        """Send an error response if no other response is being sent, and close the connection."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            if self._phase == "head" or self.pipeline or self.cycle.response_started:
                self._cut(reason)  # an error text would become part of that response
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
        """Abort the connection. The application sees a client that has disconnected."""
        if self.transport.is_closing() and reason != "unread":
            return
        log.info("connection_cut", reason=reason)
        metrics.connection_cut(reason)
        self.transport.abort()

    def _close(self) -> None:
        """Send the buffered bytes, then close. `_watch` enforces a time limit on this."""
        if not self.transport.is_closing():
            self.transport.close()

    def _watch(self, was_closing: bool = False) -> None:
        """Runs periodically. A connection that stays in closing has a client that reads nothing."""
        closing = self.transport.is_closing()
        if closing and was_closing:
            self._cut("unread")
            return
        self._watch_timer = self.loop.call_later(self._limits.send_seconds, self._watch, closing)
