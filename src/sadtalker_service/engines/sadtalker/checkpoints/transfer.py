"""Download one file over HTTP, with resume and retries."""

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

_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes after which the same request may succeed a little later."""
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

OnProgress = Callable[[int, int | None], None]
"""Called with the bytes received and the total, or None if the total is unknown."""


class TransferFailed(Exception):
    """The file cannot be downloaded from this address. The message gives the reason in a few words."""


class _Temporary(Exception):
    """A temporary failure. `wait` is the pause in seconds that the server asked for, if any."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how soon a failed attempt is repeated. Waits double, with jitter to spread clients."""

    sleep: Callable[[float], None]
    random: Random
    tell: Callable[[str], None]
    """Called with every wait and its reason."""
    attempts: int = 5
    """Failures in a row without a byte. A connection that received some bytes resets the count."""
    first: float = 1.0
    """Seconds before the second attempt."""
    longest: float = 60.0
    """Upper limit of a wait in seconds, whatever the server asks for."""

    def wait(self, reason: str, failures: int, requested: float | None) -> None:
        """Wait after `failures` failures in a row, at least as long as the server asked for."""
        drawn = self.first * 2 ** (failures - 1) * self.random.uniform(0.75, 1.25)
        seconds = min(max(drawn, requested or 0.0), self.longest)
        self.tell(f"{reason}; retrying in {seconds:.0f} s")
        self.sleep(seconds)


@dataclass(frozen=True)
class _Note:
    """Values that must match for the rest of a file to fit its beginning."""

    url: str
    validator: str
    """ETag or date from the server."""
    total: int | None


def transfer(
    client: httpx.Client,
    url: str,
    part: Path,
    *,
    size: int | None,
    policy: RetryPolicy,
    on_progress: OnProgress,
) -> bool:
    """Download `url` into the existing file `part`. Returns True if the file was joined from several
    responses.

    `size`: expected bytes, if known. Another length is rejected before the transfer. The state needed to
    resume is stored beside `part`, see `forget`.
    Raises `TransferFailed`, or `OSError` if the disk is full.
    """
    failures = 0
    while True:
        before = part.stat().st_size
        try:
            return _attempt(client, url, part, size, on_progress)
        except (_Temporary, httpx.TransportError) as error:
            if isinstance(error, httpx.UnsupportedProtocol):
                raise TransferFailed(f"{error}") from error
            failures = 1 if part.stat().st_size > before else failures + 1
            reason = f"{error}" or type(error).__name__
            if failures >= policy.attempts:
                raise TransferFailed(f"{reason} ({failures} attempts)") from error
            policy.wait(reason, failures, error.wait if isinstance(error, _Temporary) else None)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransferFailed(f"{error}") from error


def forget(part: Path) -> None:
    """Start from zero next time: empty `part` and remove the note beside it."""
    with part.open("wb"):
        pass
    _note_path(part).unlink(missing_ok=True)


def clear_note(part: Path) -> None:
    """Remove the note beside `part`, which is complete or has been given up."""
    _note_path(part).unlink(missing_ok=True)


def _attempt(client: httpx.Client, url: str, part: Path, size: int | None, on_progress: OnProgress) -> bool:
    """Transfer the rest, or the whole file if the server does not resume. Returns whether it was the rest."""
    start, note = part.stat().st_size, _read_note(part)
    if note is None or note.url != url:
        start, note = 0, None
    if note and start and start == note.total:
        return True
    headers = {"Accept-Encoding": "identity"}  # lengths and ranges must refer to the file itself
    if start and note:
        headers |= {"Range": f"bytes={start}-", "If-Range": note.validator}
    with client.stream("GET", url, headers=headers) as response:
        start, total = _response_range(response, start, part)
        if size is not None and total is not None and total != size:
            raise TransferFailed(f"it has {total:,} bytes there, not {size:,}")
        _write_note(part, url, response, total)
        with part.open("r+b") as file:
            file.truncate(start)
            file.seek(start)
            done = _write(response, file, start, total, on_progress)
    if total is not None and done != total:
        raise _Temporary(f"the connection ended after {done:,} of {total:,} bytes")
    return start > 0


def _write(
    response: httpx.Response, file: IO[bytes], done: int, total: int | None, on_progress: OnProgress
) -> int:
    on_progress(done, total)
    # unbuffered, so that the bytes received before a lost connection are kept
    for chunk in response.iter_raw():
        file.write(chunk)
        done += len(chunk)
        on_progress(done, total)
    return done


def _response_range(response: httpx.Response, start: int, part: Path) -> tuple[int, int | None]:
    """The first byte of the response, and the total size of the file if the server gives it."""
    match response.status_code:
        case 200:
            length = response.headers.get("Content-Length", "")
            return 0, int(length) if length.isdecimal() else None
        case 206:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if found and int(found[1]) == start:
                return start, int(found[2]) if found[2] != "*" else None
            forget(part)
            raise _Temporary("the server sent a different part than requested")
        case 416:
            forget(part)
            raise _Temporary("the server has fewer bytes than there are already")
        case status if status in _TEMPORARY:
            raise _Temporary(f"the server answered {status}", _retry_after(response))
        case status:
            raise TransferFailed(f"the server answered {status} {response.reason_phrase}".rstrip())


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None


def _write_note(part: Path, url: str, response: httpx.Response, total: int | None) -> None:
    """Store the response's validator. Without one, a later response cannot be joined to the current bytes."""
    etag = response.headers.get("ETag", "")
    strong = etag if etag.startswith('"') else ""  # a weak one does not guarantee equal bytes
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
