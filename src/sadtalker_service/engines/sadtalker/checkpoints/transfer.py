"""One file over HTTP: goes on where it was cut off, and tries again while that may help."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from json import JSONDecodeError
from pathlib import Path
from random import Random
from typing import IO

import httpx

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same request may succeed a little later."""
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

OnProgress = Callable[[int, int | None], None]
"""Is told the bytes there are and those there will be, as far as that is known."""


class TransferFailed(Exception):
    """The file cannot be had from this address; the message says why, in a few words."""


class _Passing(Exception):
    """What is worth another attempt, after `wait` seconds where the server asked for that."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how soon a failed attempt is made again: waits double, and vary to spread clients."""

    sleep: Callable[[float], None]
    random: Random
    tell: Callable[[str], None]
    """Is told of every wait and its reason."""
    attempts: int = 5
    """In a row without a byte; a connection that brought some starts the count anew."""
    first: float = 1.0
    """Seconds before the second attempt."""
    longest: float = 60.0
    """No wait is longer, seconds, whatever the server asks for."""

    def wait(self, reason: str, failures: int, asked: float | None) -> None:
        """Wait after so many failures in a row, at least as long as the server asked for."""
        drawn = self.first * 2 ** (failures - 1) * self.random.uniform(0.75, 1.25)
        seconds = min(max(drawn, asked or 0.0), self.longest)
        self.tell(f"{reason}; again in {seconds:.0f} s")
        self.sleep(seconds)


@dataclass(frozen=True)
class _Note:
    """What has to be the same for the rest of a file to fit its beginning."""

    url: str
    validator: str
    """ETag or date, as the server gave it."""
    total: int | None


def transfer(
    client: httpx.Client,
    url: str,
    part: Path,
    *,
    size: int | None,
    pace: RetryPolicy,
    on_progress: OnProgress,
) -> bool:
    """Fill the file `part`, which exists, with what is at `url`. True: it was joined of several answers.

    `size`: bytes that it must have, where known; another length is refused before it is transferred. What it
    takes to go on later is noted beside `part`; see `forget`.
    Raises `TransferFailed`; `OSError` where the disk is full.
    """
    failures = 0
    while True:
        before = part.stat().st_size
        try:
            return _attempt(client, url, part, size, on_progress)
        except (_Passing, httpx.TransportError) as error:
            if isinstance(error, httpx.UnsupportedProtocol):
                raise TransferFailed(f"{error}") from error
            failures = 1 if part.stat().st_size > before else failures + 1
            reason = f"{error}" or type(error).__name__
            if failures >= pace.attempts:
                raise TransferFailed(f"{reason} ({failures} attempts)") from error
            pace.wait(reason, failures, error.wait if isinstance(error, _Passing) else None)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransferFailed(f"{error}") from error


def forget(part: Path) -> None:
    """Start anew next time: empty `part` and remove the note beside it."""
    with part.open("wb"):
        pass
    _note_path(part).unlink(missing_ok=True)


def clear_note(part: Path) -> None:
    """Remove the note beside `part`, which has become a whole file or been given up."""
    _note_path(part).unlink(missing_ok=True)


def _attempt(client: httpx.Client, url: str, part: Path, size: int | None, on_progress: OnProgress) -> bool:
    """Transfer the rest, or the whole where the server sends no rest. Returns whether it was a rest."""
    start, note = part.stat().st_size, _read_note(part)
    if note is None or note.url != url:
        start, note = 0, None
    if note and start and start == note.total:
        return True
    headers = {"Accept-Encoding": "identity"}  # lengths and ranges are those of the file itself
    if start and note:
        headers |= {"Range": f"bytes={start}-", "If-Range": note.validator}
    with client.stream("GET", url, headers=headers) as response:
        start, total = _agreed(response, start, part)
        if size is not None and total is not None and total != size:
            raise TransferFailed(f"it has {total:,} bytes there, not {size:,}")
        _write_note(part, url, response, total)
        with part.open("r+b") as file:
            file.truncate(start)
            file.seek(start)
            done = _write(response, file, start, total, on_progress)
    if total is not None and done != total:
        raise _Passing(f"the connection ended after {done:,} of {total:,} bytes")
    return start > 0


def _write(
    response: httpx.Response, file: IO[bytes], done: int, total: int | None, on_progress: OnProgress
) -> int:
    on_progress(done, total)
    for chunk in response.iter_raw():  # as it comes: what a cut connection brought is kept
        file.write(chunk)
        done += len(chunk)
        on_progress(done, total)
    return done


def _agreed(response: httpx.Response, start: int, part: Path) -> tuple[int, int | None]:
    """From which byte on the answer goes, and how many the whole file has, where the server says so."""
    match response.status_code:
        case 200:
            length = response.headers.get("Content-Length", "")
            return 0, int(length) if length.isdecimal() else None
        case 206:
            told = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if told and int(told[1]) == start:
                return start, int(told[2]) if told[2] != "*" else None
            forget(part)
            raise _Passing("the server sent another part than it was asked for")
        case 416:
            forget(part)
            raise _Passing("the server has fewer bytes than there are already")
        case status if status in _PASSING:
            raise _Passing(f"the server answered {status}", _asked_wait(response))
        case status:
            raise TransferFailed(f"the server answered {status} {response.reason_phrase}".rstrip())


def _asked_wait(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None


def _write_note(part: Path, url: str, response: httpx.Response, total: int | None) -> None:
    """Note the answer's validator; without one, nothing can be joined to what is written now."""
    etag = response.headers.get("ETag", "")
    strong = etag if etag.startswith('"') else ""  # a weak one does not promise equal bytes
    validator = strong or response.headers.get("Last-Modified", "")
    if validator:
        _note_path(part).write_text(json.dumps(asdict(_Note(url, validator, total))))
    else:
        clear_note(part)


def _read_note(part: Path) -> _Note | None:
    try:
        return _Note(**json.loads(_note_path(part).read_text()))
    except (FileNotFoundError, JSONDecodeError, TypeError):
        return None


def _note_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")
