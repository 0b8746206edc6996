"""A request's form, received within limits of bytes and time; its files go with the request."""

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
"""Bytes that are collected before a thread takes them apart and writes them."""
_SLACK = 64 * 1024 + 8 * LONGEST_TEXT + sum(LONGER_TEXTS.values())
"""Bytes of texts, boundaries and headers beside the files."""
_LINGER_BYTES = 64_000_000
_LINGER_SECONDS = 3.0
"""How much of a refused body is read on and thrown away: most clients look for an answer only after they have
sent everything, and would see a broken connection instead of the reason."""
_STALE_SECONDS = 3600.0


@asynccontextmanager
async def receive_form(
    request: Request, texts: Sequence[str], kinds: Sequence[FileKind], folder: Path, timeout: float
) -> AsyncIterator[Form]:
    """The form of `request`; `folder` holds its files while the block runs.

    Raises:
        UploadTooSlow: it took more than `timeout` seconds.
        RequestTooLarge: there is more than all the files may have together.
        ClientDisconnect: the client went away.
        SadTalkerError: what `FormReader` raises.
    """
    own = await to_thread.run_sync(_make_folder, folder)
    try:
        yield await _receive(request, texts, kinds, own, timeout)
    finally:
        await to_thread.run_sync(shutil.rmtree, own, True)


def sweep(folder: Path) -> None:
    """Make `folder`, and remove what uploads left there that were killed together with their process."""
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
        raise UploadTooSlow(f"The body did not arrive within {timeout:g} seconds.") from error
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
            raise RequestTooLarge(f"The body has more than {most:,} bytes, which is the limit.")
        waiting += chunk
        if len(waiting) >= _AT_ONCE:
            await to_thread.run_sync(reader.feed, bytes(waiting))
            waiting.clear()
    if waiting:
        await to_thread.run_sync(reader.feed, bytes(waiting))


def _check_announced(request: Request, kinds: Sequence[FileKind], most: int) -> None:
    """Refuse a body by the length that it is said to have, before any of it is asked for."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        if len(kinds) == 1:
            kind = kinds[0]
            raise kind.too_large(
                f"{kind.name} has more than {kind.max_bytes:,} bytes, which is the limit.", param=kind.name
            )
        raise RequestTooLarge(f"The body has {int(announced):,} bytes; at most {most:,} are allowed.")


async def _linger(request: Request) -> None:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > _LINGER_BYTES:
        return
    if "expect" in request.headers:
        return  # this client waits for leave to send, which reading on would give
    total = 0
    with suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(_LINGER_SECONDS):
            async for chunk in request.stream():
                total += len(chunk)
                if total > _LINGER_BYTES:
                    return
