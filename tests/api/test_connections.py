"""Misbehaving connections on raw sockets: each one ends, and other clients are served meanwhile."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import httpx
import pytest
from structlog.testing import capture_logs
from tests.support.running_api import RunningApi, image_bytes, running_api
from tests.support.servers import StoreServer

from sadtalker_service.api.http_protocol import ConnectionLimits
from sadtalker_service.settings import Settings
from sadtalker_service.store.artefact_store import video_name
from sadtalker_service.telemetry import metrics

LIMITS = ConnectionLimits(
    body_bytes=2_000_000, body_seconds=1.0, send_seconds=0.5, head_seconds=0.5, rest_seconds=0.4
)
MANY = 40
HOST = b"Host: localhost\r\n"
CHUNKED = HOST + b"Transfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def _strict_api(api_settings: Settings) -> Iterator[RunningApi]:
    settings = api_settings.model_copy(update={"upload_timeout_seconds": 0.6})
    with running_api(settings, LIMITS) as api:
        yield api


@pytest.fixture
def strict_api(_strict_api: RunningApi, queue_server: StoreServer, cache_server: StoreServer) -> RunningApi:
    """An API with very short time limits."""
    _strict_api.work()
    return _strict_api


def connect(api: RunningApi) -> socket.socket:
    """A separate connection."""
    parts = urlsplit(api.url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """All bytes until the server closes the connection."""
    received = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65_536):
            received += piece
    return received


def send_until_closed(connection: socket.socket, piece: bytes, most: int, pause: float = 0.0) -> int:
    """Send `piece` repeatedly. Returns the bytes sent before the connection was closed."""
    sent = 0
    end = time.monotonic() + 15
    connection.settimeout(0.2)
    while sent < most:
        assert time.monotonic() < end, "the connection is never closed"
        with suppress(TimeoutError):
            try:
                sent += connection.send(piece)
                if pause and select_closed(connection, pause):
                    break
            except ConnectionError:
                break
    return sent


def select_closed(connection: socket.socket, seconds: float) -> bool:
    """Whether the server closes the connection within `seconds`."""
    connection.settimeout(seconds)
    try:
        return connection.recv(65_536) == b""
    except TimeoutError:
        return False


def cuts() -> float:
    """Number of connections ended by the service."""
    text = metrics.REGISTRY.get_sample_value
    reasons = ("head", "body", "rest_of_body", "pipeline", "stray_bytes", "unread", "malformed")
    return sum(text("sadtalker_connections_cut_total", {"reason": reason}) or 0.0 for reason in reasons)


def problem(answer: bytes) -> tuple[int, str]:
    """Status and code of a response, which has the error object and a request id."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.search(rb"^x-request-id: [0-9a-f]{32}\r?$", head, re.MULTILINE), head
    return int(head.split(b" ")[1]), json.loads(body)["error"]["code"]


@pytest.mark.parametrize(
    "request_",
    [
        *(b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "),
        b"POST /api/avatar/upload HTTP/1.1\r\n" + HOST + b"Content-Type: multipart/form",
    ],
)
def test_missing_head_times_out(strict_api: RunningApi, request_: bytes) -> None:
    with connect(strict_api) as connection:
        connection.sendall(request_)
        assert problem(read_all(connection)) == (408, "upload_timeout")


def test_head_sent_byte_by_byte_times_out(strict_api: RunningApi) -> None:
    with connect(strict_api) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nX: ")
        assert send_until_closed(connection, b"x", 10_000, pause=0.02) < 200


@pytest.mark.parametrize("beginning", [b"GET /", b"GET /livez HTTP/1.1\r\nX: ", b"GET /livez HTTP/1.1\r\n"])
def test_endless_head_is_refused(strict_api: RunningApi, beginning: bytes) -> None:
    with connect(strict_api) as connection:
        connection.sendall(beginning)
        piece = b"X: y\r\n" * 10_000 if beginning.endswith(b"\n") else b"x" * 50_000
        assert send_until_closed(connection, piece, 50_000_000) < 10_000_000


@pytest.mark.parametrize("first", [b"", b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"])
def test_endless_empty_lines_end_the_connection(strict_api: RunningApi, first: bytes) -> None:
    with connect(strict_api) as connection:
        connection.sendall(first)
        assert send_until_closed(connection, b"\r\n" * 5_000, 50_000_000) < 10_000_000
    with connect(strict_api) as connection:
        connection.sendall(first)
        assert send_until_closed(connection, b"\r\n", 10_000, pause=0.02) < 200


def test_empty_line_after_a_request_is_harmless(strict_api: RunningApi) -> None:
    with connect(strict_api) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n\r\n")
        answer = read_all(connection)
    assert answer.count(b"HTTP/1.1") == 1  # and no error about a missing head
    assert answer.startswith(b"HTTP/1.1 200")


ENDLESS: dict[str, tuple[bytes, Callable[[int], bytes]]] = {
    "an unexpected body": (
        b"GET /livez HTTP/1.1\r\n" + HOST + b"Content-Length: 900000000\r\n\r\n",
        lambda size: b"x" * size,
    ),
    "unexpected chunks": (
        b"POST /nothing HTTP/1.1\r\n" + CHUNKED + b"\r\n",
        lambda size: b"%x\r\n" % size + b"x" * size + b"\r\n",
    ),
    "a chunk's extension": (
        b"POST /api/avatar/upload HTTP/1.1\r\n" + CHUNKED + b"Content-Type: multipart/form-data;"
        b" boundary=b\r\n\r\n1;",
        lambda size: b"x" * size,
    ),
    "trailers": (
        b"POST /api/avatar/upload HTTP/1.1\r\n" + CHUNKED + b"Content-Type: multipart/form-data;"
        b" boundary=b\r\n\r\n0\r\n",
        lambda size: b"X: y\r\n" * (size // 6 + 1),
    ),
    "chunks of a form": (
        b"POST /api/avatar/upload HTTP/1.1\r\n" + CHUNKED + b"Content-Type: multipart/form-data;"
        b" boundary=b\r\n\r\n",
        lambda size: b"%x\r\n" % size + b"\r\n" * (size // 2) + b"\r\n",
    ),
    "bytes after a request for another protocol": (
        b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        lambda size: b"x" * size,
    ),
    "bytes after the last response": (
        b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
        lambda size: b"x" * size,
    ),
}


@pytest.mark.parametrize("pace", ["slow", "fast"])
@pytest.mark.parametrize("what", sorted(ENDLESS))
def test_endless_requests_are_ended(strict_api: RunningApi, what: str, pace: str) -> None:
    head, more = ENDLESS[what]
    with connect(strict_api) as connection:
        connection.sendall(head)
        if pace == "fast":
            assert send_until_closed(connection, more(60_000), 900_000_000) < 150_000_000
        else:
            assert send_until_closed(connection, more(2), 100_000, pause=0.02) < 2_000


def test_too_many_pipelined_requests_are_refused(strict_api: RunningApi) -> None:
    with connect(strict_api) as connection:
        with suppress(ConnectionError):
            connection.sendall((b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n") * 5_000)
        assert read_all(connection).count(b"HTTP/1.1 200") < 100
    with connect(strict_api) as connection:
        connection.sendall((b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n") * 8)
        assert read_all(connection).count(b"HTTP/1.1 200") == 8


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /api/avatar/upload HTTP/1.1\r\n" + HOST + b"Content-Length: many\r\n\r\n",
        b"POST /api/avatar/upload HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"GET /liv\0ez HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"POST / HTTP/1.1\r\n" + CHUNKED + b"Content-Length: 3\r\n\r\nabc",
    ],
)
def test_invalid_http_gets_the_usual_error_object(strict_api: RunningApi, request_: bytes) -> None:
    with connect(strict_api) as connection:
        connection.sendall(request_)
        assert problem(read_all(connection)) == (400, "malformed_request")


def test_broken_body_is_refused_once(strict_api: RunningApi) -> None:
    with connect(strict_api) as connection:
        connection.sendall(
            b"POST /api/avatar/upload HTTP/1.1\r\n" + CHUNKED + b"Content-Type: multipart/form-data;"
            b" boundary=b\r\n\r\n4\r\nabcd\r\nno length\r\n"
        )
        answer = read_all(connection)
    assert answer.count(b"HTTP/1.1") == 1
    assert problem(answer) == (400, "malformed_request")


def test_clients_that_never_read_are_disconnected(strict_api: RunningApi) -> None:
    with strict_api.client() as client:
        session_id = strict_api.accepted(client, lane="standard")
        session = strict_api.make(session_id)
        strict_api.services.artefacts.delete(video_name(session.result_key))
        strict_api.services.artefacts.put_bytes(b"v" * 30_000_000, video_name(session.result_key))
        before = cuts()
        request_ = f"GET /api/standard/download/{session_id} HTTP/1.1\r\n".encode() + HOST + b"\r\n"
        with ExitStack() as stack, capture_logs() as logs:
            readers = [stack.enter_context(connect(strict_api)) for _ in range(5)]
            for reader in readers:
                reader.sendall(request_)
            end = time.monotonic() + 20
            while cuts() < before + len(readers):
                assert time.monotonic() < end, "they are still connected"
                assert client.get("/livez").status_code == 200
            assert all(len(read_all(reader)) < 30_000_000 for reader in readers)
            end = time.monotonic() + 10
            while sum(entry["event"] == "connection_cut" for entry in logs) < len(readers):
                assert time.monotonic() < end
        assert [entry for entry in logs if entry.get("exc_info") or entry["log_level"] == "error"] == []


def test_slow_reader_gets_everything(strict_api: RunningApi) -> None:
    with strict_api.client() as client:
        session_id = strict_api.accepted(client, lane="standard")
        session = strict_api.make(session_id)
        strict_api.services.artefacts.delete(video_name(session.result_key))
        strict_api.services.artefacts.put_bytes(b"v" * 8_000_000, video_name(session.result_key))
        received, start = 0, time.monotonic()
        with client.stream("GET", f"/api/standard/download/{session_id}") as answer:
            for piece in answer.iter_bytes(400_000):
                received += len(piece)
                time.sleep(0.06)
    assert received == 8_000_000
    assert time.monotonic() - start > 2 * LIMITS.send_seconds


def test_other_clients_are_served_while_many_misbehave(
    strict_api: RunningApi, caplog: pytest.LogCaptureFixture
) -> None:
    heads = [head for head, _ in ENDLESS.values()]
    with ExitStack() as stack, httpx.Client(base_url=strict_api.url, timeout=10) as client:
        quiet = statuses(client, 20)
        crowd = [stack.enter_context(connect(strict_api)) for _ in range(MANY)]
        for number, connection in enumerate(crowd):
            connection.sendall(heads[number % len(heads)])
            connection.setblocking(False)
        garbage = b"8000\r\n" + b"x" * 32_768 + b"\r\n"
        worst = 0.0
        for _ in range(20):
            for connection in crowd:
                with suppress(ConnectionError, BlockingIOError):
                    connection.send(garbage)
            worst = max(worst, statuses(client, 1))
        files = {"image_file": ("me.png", image_bytes(), "image/png")}
        assert client.post("/api/avatar/upload", files=files).status_code == 202
        end = time.monotonic() + 15
        for connection in crowd:
            connection.setblocking(True)
            connection.settimeout(max(0.1, end - time.monotonic()))
            read_all(connection)
    assert worst < max(1.0, 50 * quiet)
    assert "Traceback" not in caplog.text
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def statuses(client: httpx.Client, times: int) -> float:
    """The longest duration of this many requests, seconds."""
    worst = 0.0
    for _ in range(times):
        start = time.perf_counter()
        assert client.get("/livez").status_code == 200
        worst = max(worst, time.perf_counter() - start)
    return worst
