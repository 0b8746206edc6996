"""Streams a video while it is rendered: fragmented mp4 from worker through cache server to client.

A client that comes too late for the live stream gets the same kind of stream from the finished file. So does
a client whose stream broke before its first byte. A stream that breaks later ends without its proper end, so
that the client notices the missing part.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.types import Send

from sadtalker_service.api.access.fetching import no_video
from sadtalker_service.api.services import Services
from sadtalker_service.errors import NotFound
from sadtalker_service.media.fragments import refragment
from sadtalker_service.state.events import subscribe
from sadtalker_service.state.records import ENDED, Session
from sadtalker_service.store.artefact_store import video_name
from sadtalker_service.store.media_stream import StreamBroken, read_media

log = structlog.get_logger(__name__)

MEDIA_TYPE = "video/mp4"
_LOOK_SECONDS = 1.0
"""How often a waiting request checks that its client is still connected."""

Value = TypeVar("Value")


class MediaResponse(StreamingResponse):
    """A stream that closes the connection without its proper end if it breaks."""

    async def stream_response(self, send: Send) -> None:
        """Send the pieces."""
        try:
            await super().stream_response(send)
        except StreamBroken as error:
            log.warning("stream_broken", reason=str(error))


async def media_response(request: Request, services: Services, session: Session) -> MediaResponse:
    """The stream of `session`. It begins when the first piece is available.

    Raises `NotReady` for a session that ends without a video, `NotFound` for a video that was removed,
    `Draining`.
    """
    pieces = _pieces(services, session.session_id)
    first = await _while_wanted(request, services, pieces)
    headers = {"Cache-Control": "no-store", "Accept-Ranges": "none", "X-Accel-Buffering": "no"}
    return MediaResponse(_joined(first, pieces, services), headers=headers, media_type=MEDIA_TYPE)


async def _pieces(services: Services, session_id: str) -> AsyncGenerator[bytes, None]:
    """The stream, live if there is one. Raises `NotReady`, `NotFound`, `StreamBroken`."""
    sent = False
    while True:
        session = await _begun(services, session_id)
        if session.state == "ready":
            async for piece in _finished(services, session):
                yield piece
            return
        try:
            async for piece in _live(services, session):
                yield piece
                sent = True
        except StreamBroken:
            if sent:
                raise
            await asyncio.sleep(0.3)  # the next attempt or the finished file is about to appear
        else:
            return


async def _begun(services: Services, session_id: str) -> Session:
    """The session as soon as it is being rendered or ready. Raises `NotReady`, `NotFound`."""
    session = await _session(services, session_id)
    if session.state == "queued":
        events = subscribe(services.queue_async, session_id)
        try:
            async for _, change in events:
                if change["state"] != "queued":
                    session = await _session(services, session_id)
                    if session.state != "queued":
                        break
        finally:
            await events.aclose()  # type: ignore[attr-defined]  # subscribe is an async generator
    if session.state in ENDED and session.state != "ready":
        raise no_video(session)
    return session


async def _session(services: Services, session_id: str) -> Session:
    found = await services.polls.read_status(session_id)
    if found is None:
        raise NotFound(
            "There is no such session. Sessions are deleted some time after they end.", param="session_id"
        )
    return found[0]


def _live(services: Services, session: Session) -> AsyncIterator[bytes]:
    """The stream that the worker sends during this attempt."""

    async def is_coming() -> bool:
        found = await services.polls.read_status(session.session_id)
        return found is not None and (found[0].state, found[0].attempt) == ("generating", session.attempt)

    return read_media(services.cache_async, session.run_id, session.attempt, is_coming=is_coming)


async def _finished(services: Services, session: Session) -> AsyncIterator[bytes]:
    """The finished file, in fragments. Raises `NotFound`."""
    name = video_name(session.result_key)
    pieces = _fragments(services, name)
    try:
        while (piece := await run_in_threadpool(next, pieces, None)) is not None:
            yield piece
    except FileNotFoundError as error:
        raise NotFound("The video no longer exists. Request it again.") from error
    finally:
        await run_in_threadpool(pieces.close)


def _fragments(services: Services, name: str) -> Any:
    def read() -> Iterator[bytes]:
        with services.artefacts.local(name) as path:
            yield from refragment(path)

    return read()


async def _while_wanted(
    request: Request, services: Services, pieces: AsyncGenerator[bytes, None]
) -> bytes | None:
    """The first piece, or None. Raises `Draining`, `ClientDisconnect`, and what `pieces` raises."""
    first: asyncio.Future[bytes | None] = asyncio.ensure_future(anext(pieces, None))
    try:
        while not first.done():
            await asyncio.wait({first}, timeout=_LOOK_SECONDS)
            if not first.done():
                services.drain.check()
                await _check_client(request)
        return first.result()
    except BaseException:
        await _stop(first, pieces)
        raise


async def _check_client(request: Request) -> None:
    if await request.is_disconnected():
        raise ClientDisconnect


async def _joined(
    first: bytes | None, rest: AsyncGenerator[bytes, None], services: Services
) -> AsyncIterator[bytes]:
    try:
        if first is not None:
            yield first
        async for piece in rest:
            yield piece
            if services.drain.begun:
                raise StreamBroken("this instance is being shut down")
    finally:
        await rest.aclose()


async def _stop(first: asyncio.Future[Any], pieces: AsyncGenerator[bytes, None]) -> None:
    first.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await first
    await pieces.aclose()
