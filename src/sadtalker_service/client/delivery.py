"""Operations whose answer is read piece by piece: events, the stream, the download."""

from __future__ import annotations

import http
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

from sadtalker_service.client.errors import ApiError, Unfinished, Unreachable
from sadtalker_service.client.events import EventReader
from sadtalker_service.client.exchange import Answer, Do, Give, Pause, Read, Request, Work
from sadtalker_service.client.operations import LONGEST_WAIT, session_path, unfinished_video
from sadtalker_service.client.records import Lane, Session, session_of
from sadtalker_service.client.retrying import Retries, ask
from sadtalker_service.files import output_errors, whole_file

_SILENT_EVENTS = 30.0
"""The service sends something at least every 15 seconds."""


def follow(retries: Retries, session: Session | str, lane: Lane) -> Work[None]:
    """Gives the session after every change until it has ended. Connects again where a connection breaks."""
    last_id, fruitless = None, 0
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        request = Request(
            "GET", session_path("events", session, lane), headers=headers, silence=_SILENT_EVENTS
        )
        yield from ask(request, retries, open=True)
        reader, error = EventReader(), None
        try:
            while (piece := (yield Read())) is not None:
                for event in reader.feed(piece):
                    found, last_id, fruitless = (
                        session_of(json.loads(event.data)),
                        event.last_id or last_id,
                        0,
                    )
                    yield Give(found)
                    if found.ended:
                        return
        except Unreachable as broken:
            error = broken
        fruitless += 1
        if fruitless >= retries.attempts:
            raise error or Unreachable("The events ended before the session did.", sent=True)
        yield Pause(retries.pause_before(fruitless + 1))


def stream(retries: Retries, session: Session | str, lane: Lane, timeout: float) -> Work[None]:
    """Gives the pieces of the video (fragmented mp4) while it is made.

    Raises `Unreachable` if the stream breaks: it cannot be continued, only downloaded when it is ready.
    """
    request = Request("GET", session_path("stream", session, lane), silence=timeout)
    yield from ask(request, retries, open=True)
    while (piece := (yield Read())) is not None:
        yield Give(piece)


def download(retries: Retries, session: Session | str, lane: Lane, path: Path, timeout: float) -> Work[Path]:
    """Wait for the video and write it to `path`, completely or not at all.

    Raises `Unfinished`, `OutputError`, and `ApiError` for a session that has failed.
    """
    request = Request("GET", session_path("download", session, lane))
    with whole_file(path) as unfinished, unfinished.open("wb") as file:

        def write(piece: bytes) -> None:
            with output_errors(path):
                file.write(piece)
                file.flush()  # errors of the disk come up here, with the name of the file

        yield from _fetch(retries, request, file, write, timeout)
    return path


def _fetch(
    retries: Retries, request: Request, file: IO[bytes], write: Callable[[bytes], None], timeout: float
) -> Work[None]:
    """Put the whole answer into `file`, with `write`. A transfer that breaks is resumed where it broke."""
    fruitless, tag = 0, ""
    answer = yield from _when_ready(retries, request, timeout)
    while True:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:  # from the beginning
            file.seek(0)
            file.truncate()
        tag, before = answer.headers.get("etag", ""), file.tell()
        try:
            while (piece := (yield Read())) is not None:
                yield Do(partial(write, piece))
        except Unreachable:
            fruitless = 1 if file.tell() > before else fruitless + 1
            if fruitless >= retries.attempts:
                raise
        else:
            return
        yield Pause(retries.pause_before(fruitless + 1))
        rest = {"Range": f"bytes={file.tell()}-", "If-Range": tag} if tag and file.tell() else {}
        answer = yield from ask(replace(request, headers=rest), retries, open=True)


def _when_ready(retries: Retries, request: Request, timeout: float) -> Work[Answer]:
    """The open answer with the video, as soon as it is ready. Raises `Unfinished`, `ApiError`."""
    end = time.monotonic() + timeout
    while True:
        wait = min(LONGEST_WAIT, max(0.0, end - time.monotonic()))
        waiting = replace(request, params={"wait": f"{wait:g}"}, silence=wait)
        try:
            return (yield from ask(waiting, retries, open=True))
        except ApiError as error:
            if not (error.code == "not_ready" and error.retryable):
                raise
            if time.monotonic() >= end:
                raise Unfinished(unfinished_video(timeout)) from error
            if wait < 1:
                yield Pause(0.2)
