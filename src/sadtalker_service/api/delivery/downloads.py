"""Sends a stored file, whole or a range of it, from a local folder or a remote store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import IO

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from sadtalker_service.api.delivery.ranges import ByteRange, UnsatisfiableRange, parse_range
from sadtalker_service.api.errors import problem_of, problem_response_of
from sadtalker_service.errors import NotFound
from sadtalker_service.store.artefact_store import ArtefactStore

CHUNK = 256 * 1024
"""Bytes per read, so that a slow client blocks a thread only for a moment."""


async def file_response(
    request: Request, store: ArtefactStore, name: str, *, media_type: str, filename: str, etag: str
) -> Response:
    """The response with the file `name` to `request` (GET or HEAD).

    `etag` identifies its content, without quotes. Raises `NotFound`.
    """
    size = await run_in_threadpool(store.size, name)
    if size is None:
        raise NotFound("The video no longer exists. Request it again.")
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": f'"{etag}"',
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{filename}"',
    }
    if names_tag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    try:
        part = parse_range(_range_header(request, etag), size)
    except UnsatisfiableRange:
        return _unsatisfiable(size, headers)
    status = 200
    if part is not None:
        status, headers["Content-Range"] = 206, part.header(size)
    part = part or ByteRange(0, size - 1)
    headers["Content-Length"] = str(part.length)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    file = await _opened(store, name, part.first)
    return StreamingResponse(_pieces(file, part.length), status, headers, media_type)


def _range_header(request: Request, etag: str) -> str | None:
    condition = request.headers.get("if-range")
    if condition is not None and condition.strip() != f'"{etag}"':
        return None  # the client has part of a different file
    return request.headers.get("range")


def names_tag(header: str | None, etag: str) -> bool:
    """Whether `If-None-Match` contains the tag."""
    if header is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or f'"{etag}"' in tags


def _unsatisfiable(size: int, headers: Mapping[str, str]) -> Response:
    problem = problem_of(
        "range_not_satisfiable", f"The range is outside the file of {size:,} bytes.", retryable=False
    )
    kept = {name: headers[name] for name in ("Accept-Ranges", "ETag")}
    return problem_response_of(416, problem, {**kept, "Content-Range": f"bytes */{size}"})


async def _opened(store: ArtefactStore, name: str, first: int) -> IO[bytes]:
    def opened() -> IO[bytes]:
        file = store.open(name)
        file.seek(first)
        return file

    try:
        return await run_in_threadpool(opened)
    except FileNotFoundError as error:
        raise NotFound("The video no longer exists. Request it again.") from error


async def _pieces(file: IO[bytes], length: int) -> AsyncIterator[bytes]:
    try:
        while length > 0:
            piece = await run_in_threadpool(file.read, min(CHUNK, length))
            if not piece:
                return
            length -= len(piece)
            yield piece
    finally:
        with suppress(OSError):
            file.close()
