"""Passes the WebSocket of a live session on to the worker that carries it, so that users need one port
only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

import structlog
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from sadtalker_service.api.errors import problem_of
from sadtalker_service.errors import LiveSessionLost
from sadtalker_service.state.live_records import LiveSession, request_body

log = structlog.get_logger(__name__)

CUT_BYTES = 8_000_000
"""A longer message is not received: the connection is closed with 1009."""
WORKER_LOST = 1012
"""Close code: the worker has died, and the session with it."""
_OPEN_SECONDS, _ANSWER_SECONDS = 5.0, 20.0
_LOST_MESSAGE = (
    "The process that carried the live session has died. Send the request in resume to start it again."
)


async def relay(
    websocket: WebSocket,
    session: LiveSession,
    token: str,
    subprotocol: str | None,
    *,
    with_video: bool = True,
) -> None:
    """Accept the client's connection and pass every message on, until one side ends.

    Raises `LiveSessionLost` if the worker does not answer.
    """
    try:
        async with _connected(session, token, "ws", "" if with_video else "&video=off") as worker:
            await websocket.accept(subprotocol)
            await _pass_on(websocket, session, worker)
    except InvalidStatus as error:  # the worker refuses it and says why
        answer = error.response
        headers = {name: answer.headers[name] for name in ("Retry-After",) if name in answer.headers}
        await websocket.send_denial_response(
            Response(answer.body, answer.status_code, headers, "application/json")
        )
    except (OSError, InvalidHandshake) as error:
        raise _unreachable(session, error) from error


async def answer_offer(session: LiveSession, token: str, sdp: str) -> str | dict[str, Any]:
    """The worker's answer to an offer of WebRTC: SDP, or an object with `error` and `status`.

    Raises `LiveSessionLost` if the worker does not answer.
    """
    try:
        async with _connected(session, token, "offer") as worker, asyncio.timeout(_ANSWER_SECONDS):
            await worker.send(sdp)
            answer = str(await worker.recv(decode=True))
    except (OSError, InvalidHandshake, ConnectionClosed) as error:
        raise _unreachable(session, error) from error
    if answer.startswith("{"):
        refusal: dict[str, Any] = json.loads(answer)
        return refusal
    return answer


def _unreachable(session: LiveSession, error: Exception) -> LiveSessionLost:
    log.warning("live_worker_unreachable", worker=session.worker, reason=str(error))
    return LiveSessionLost(
        "The process that carries the live session does not answer. Try again in a moment, or start a new"
        " session.",
        retry_after=2.0,
    )


@asynccontextmanager
async def _connected(
    session: LiveSession, token: str, what: str, more: str = ""
) -> AsyncIterator[ClientConnection]:
    path = f"/api/live/{session.session_id}/{what}?token={quote(token)}{more}"
    options: dict[str, Any] = {
        "max_size": None,  # the worker is trusted
        "compression": None,
        "ping_interval": None,  # it pings
        "open_timeout": _OPEN_SECONDS,
        "proxy": None,
    }
    kind, _, place = session.address.partition("://")
    opening: AbstractAsyncContextManager[ClientConnection] = (
        unix_connect(place, f"ws://live{path}", **options)
        if kind == "unix"
        else connect(f"ws://{place}{path}", **options)
    )
    async with opening as worker:
        yield worker


async def _pass_on(websocket: WebSocket, session: LiveSession, worker: ClientConnection) -> None:
    tasks = {
        asyncio.create_task(_to_worker(websocket, worker)),
        asyncio.create_task(_to_client(websocket, worker)),
    }
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if worker.close_code is None or websocket.client_state is WebSocketState.DISCONNECTED:
        return  # the client has gone
    with suppress(WebSocketDisconnect, RuntimeError):
        if worker.close_code == _ABNORMAL:
            await _tell_lost(websocket, session)
        else:
            await websocket.close(worker.close_code, worker.close_reason)


_ABNORMAL = 1006
"""Close code of a connection that broke."""


async def _to_worker(websocket: WebSocket, worker: ClientConnection) -> None:
    with suppress(WebSocketDisconnect, ConnectionClosed):
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("text")
            await worker.send(data if data is not None else message["bytes"])


async def _to_client(websocket: WebSocket, worker: ClientConnection) -> None:
    with suppress(WebSocketDisconnect, ConnectionClosed):
        async for data in worker:
            await (websocket.send_text(data) if isinstance(data, str) else websocket.send_bytes(data))


async def _tell_lost(websocket: WebSocket, session: LiveSession) -> None:
    log.warning("live_worker_lost", worker=session.worker, session_id=session.session_id)
    problem = problem_of(LiveSessionLost.code, _LOST_MESSAGE, retryable=True)
    await websocket.send_text(json.dumps({"type": "error", "error": problem.model_dump(mode="json")}))
    closed = {
        "type": "session.state_updated",
        "session_id": session.session_id,
        "state": "closed",
        "reason": "worker_lost",
        "resume": {"method": "POST", "href": "/api/live", "body": request_body(session.spec)},
    }
    await websocket.send_text(json.dumps(closed))
    await websocket.close(WORKER_LOST, "worker_lost")
