"""Receives the form of a request within limits on bytes and time, and removes its files afterwards."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from anyio import to_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from sadtalker_service.api.upload.multipart import LONGER_TEXTS, LONGEST_TEXT, FileKind, Form, FormReader
from sadtalker_service.errors import RequestTooLarge, SadTalkerError, UploadTooSlow
from sadtalker_service.files import output_errors

_AT_ONCE = 262_144
"""Bytes that are collected before a thread parses and writes them."""
_SLACK = 64 * 1024 + 8 * LONGEST_TEXT + sum(LONGER_TEXTS.values())
"""Bytes allowed for texts, boundaries and headers in addition to the files."""
_LINGER_BYTES = 64_000_000
_LINGER_SECONDS = 3.0
"""How much of a refused body is read and discarded. Most clients look for a response only after they have
sent everything; without this they would see a broken connection instead of the reason."""
_STALE_SECONDS = 3600.0


@asynccontextmanager
async def receive_form(
    request: Request, texts: Sequence[str], kinds: Sequence[FileKind], folder: Path, timeout: float
) -> AsyncIterator[Form]:
    """Context manager that gives the form of `request`. Its files exist in `folder` until it exits.

    Raises:
        UploadTooSlow: the body took more than `timeout` seconds.
        RequestTooLarge: the body is larger than all files together may be.
        ClientDisconnect: the client closed the connection.
        SadTalkerError: as raised by `FormReader`.
    """
    own = await to_thread.run_sync(_make_folder, folder)
    try:
        yield await _receive(request, texts, kinds, own, timeout)
    finally:
        await to_thread.run_sync(shutil.rmtree, own, True)


def sweep(folder: Path) -> None:
    """Create `folder`, and remove the files of uploads whose process was killed."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in folder.iterdir():
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time.time() - _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _make_folder(folder: Path) -> Path:
    with output_errors(folder / "upload"):
        return Path(tempfile.mkdtemp(dir=folder))


async def _receive(
    request: Request, texts: Sequence[str], kinds: Sequence[FileKind], folder: Path, timeout: float
) -> Form:
    reader = FormReader(request.headers.get("content-type", ""), texts, kinds, folder)
    most = sum(kind.max_bytes for kind in kinds) + _SLACK
    try:
        async with asyncio.timeout(timeout):
            _check_announced(request, kinds, most)
            await _read(request, reader, most)
    except TimeoutError as error:
        raise UploadTooSlow(
            f"The body did not arrive within {timeout:g} seconds. Try again on a faster connection, or send"
            " a smaller file."
        ) from error
    except SadTalkerError:
        await _linger(request)
        raise
    finally:
        reader.close()
    return reader.finish()


async def _read(request: Request, reader: FormReader, most: int) -> None:
    waiting, total = bytearray(), 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > most:
            raise RequestTooLarge(f"The body is larger than the limit of {most:,} bytes.")
        waiting += chunk
        if len(waiting) >= _AT_ONCE:
            await to_thread.run_sync(reader.feed, bytes(waiting))
            waiting.clear()
    if waiting:
        await to_thread.run_sync(reader.feed, bytes(waiting))


def _check_announced(request: Request, kinds: Sequence[FileKind], most: int) -> None:
    """Refuse a body that announces too many bytes, before any of it is read."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        if len(kinds) == 1:
            kind = kinds[0]
            raise kind.too_large(
                f"{kind.name} is larger than the limit of {kind.max_bytes:,} bytes.", param=kind.name
            )
        raise RequestTooLarge(f"The body has {int(announced):,} bytes. The limit is {most:,}.")


async def _linger(request: Request) -> None:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > _LINGER_BYTES:
        return
    if "expect" in request.headers:
        return  # this client waits for permission to send, and reading would give it
    total = 0
    with suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(_LINGER_SECONDS):
            async for chunk in request.stream():
                total += len(chunk)
                if total > _LINGER_BYTES:
                    return
