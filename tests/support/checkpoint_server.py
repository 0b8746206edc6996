"""A file server over real HTTP that can misbehave on request."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

from sadtalker_service.engines.sadtalker.checkpoints.transfer import RetryPolicy


@dataclass(frozen=True)
class Answer:
    """How one request is answered. None in the script means a normal answer."""

    status: int | None = None
    """Status code sent instead of the file."""
    headers: tuple[tuple[str, str], ...] = ()
    cut_after: int | None = None
    """The connection ends after this many bytes of the body."""
    pause: float = 0.0
    """Seconds between the chunks of the body."""
    whole: bool = False
    """Ignore ranges and send the whole file."""
    shifted: int = 0
    """The partial response begins this many bytes too late."""
    unsized: bool = False
    """Do not send the length of the body."""
    elsewhere: str | None = None
    """Redirect to this address."""


@dataclass
class FileServer:
    """Files by path, scripted answers by path, and the received requests."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    validators: bool = True
    """Whether answers have an ETag."""

    def ranges(self) -> list[str | None]:
        """The range of each request."""
        return [headers.get("range") for _, headers in self.requests]


@dataclass
class Waits:
    """Records requested waits without waiting."""

    seconds: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def policy(self, attempts: int = 3) -> RetryPolicy:
        """A retry policy that records its waits here."""
        return RetryPolicy(self.seconds.append, Random(1), self.told.append, attempts=attempts)  # noqa: S311


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect, because tests check standard error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def file_server() -> Iterator[FileServer]:
    """A server on a free port of this machine."""
    server = _Server(("127.0.0.1", 0), _Handler)
    known = FileServer(f"http://127.0.0.1:{server.server_address[1]}")
    _Handler.known[server.server_address[1]] = known
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    known: dict[int, FileServer] = {}  # noqa: RUF012 - by port

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        known = self.known[self.server.server_address[1]]
        known.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        script = known.answers.get(self.path, [])
        answer = script.pop(0) if script else Answer()
        body = known.files.get(self.path)
        if answer.elsewhere:
            self._refuse(302, (("Location", answer.elsewhere),))
        elif answer.status:
            self._refuse(answer.status, answer.headers)
        elif body is None:
            self._refuse(404, ())
        else:
            self._send(body, answer, known.validators)

    def _refuse(self, status: int, headers: tuple[tuple[str, str], ...]) -> None:
        text = b"<html>sorry</html>"
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _send(self, body: bytes, answer: Answer, validators: bool) -> None:
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        start, asked = 0, self.headers.get("Range")
        fits = self.headers.get("If-Range", etag) == etag
        if asked and fits and not answer.whole:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self._refuse(416, (("Content-Range", f"bytes */{len(body)}"),))
                return
            start += answer.shifted
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if validators:
            self.send_header("ETag", etag)
        if answer.unsized:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:] if answer.cut_after is None else body[start : start + answer.cut_after]
        step = max(len(rest) // 4, 1) if answer.pause else max(len(rest), 1)
        for begin in range(0, len(rest), step):
            self.wfile.write(rest[begin : begin + step])
            time.sleep(answer.pause)
        if answer.cut_after is not None or answer.unsized:
            self.close_connection = True
