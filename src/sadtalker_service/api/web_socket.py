"""Limits of a WebSocket, in addition to those of `api.http_protocol`."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import structlog
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from sadtalker_service.telemetry import metrics

log = structlog.get_logger(__name__)


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket. A client that reads nothing is disconnected, as a client of HTTP."""

    def __init__(self, *args: Any, send_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._send_seconds = send_seconds
        self.logger = logging.getLogger("websockets.server")
        """Its routine lines have the whole URL in them, with the token."""
        self._send_timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The client reads more slowly than messages are sent."""
        super().pause_writing()
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(self._send_seconds, self._cut)

    def resume_writing(self) -> None:
        """The client has read the buffered bytes."""
        super().resume_writing()
        self._cancel_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has disconnected."""
        self._cancel_timer()
        super().connection_lost(exc)

    def _cancel_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _cut(self) -> None:
        log.info("connection_cut", reason="unread")
        metrics.connection_cut("unread")
        self.transport.abort()
