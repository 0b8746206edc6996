"""ASGI middleware that gives every request an id, a log line and a metric, and adds common headers."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sadtalker_service.telemetry import metrics
from sadtalker_service.telemetry.logs import bound

log = structlog.get_logger(__name__)

REQUEST_ID = "x-request-id"
_GIVEN = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""Ids sent by clients and proxies are accepted if they are harmless in a log and a header."""


class RequestAccount:
    """ASGI middleware. It holds back no part of a response, so streams stay streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500  # the server answers this if nothing else did
        start = time.perf_counter()

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
                headers["Server-Timing"] = f"app;dur={1000 * (time.perf_counter() - start):.1f}"
            await send(message)

        with bound(request_id=request_id):
            try:
                await self._app(scope, receive, send_marked)
            finally:
                _account(scope, status, time.perf_counter() - start)


def _account(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", None) or "unmatched"
    metrics.observe_request(scope["method"], route, status, seconds)
    # status polls are frequent and uninteresting
    write = log.debug if scope["method"] in {"GET", "HEAD"} and status < 400 else log.info
    write(
        "request_answered",
        method=scope["method"],
        route=route,
        status=status,
        milliseconds=round(1000 * seconds, 1),
    )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == REQUEST_ID.encode() and _GIVEN.fullmatch(value):
            return str(value.decode())
    return uuid.uuid4().hex
