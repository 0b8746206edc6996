"""Forms that are wrong, too large, too slow or incomplete get the right status and leave nothing behind."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.running_api import RunningApi, audio_bytes, image_bytes

BOUNDARY = "b0undary"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, content: bytes, filename: str | None = None, kind: str | None = None) -> bytes:
    """A part of a form."""
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    lines = [f"--{BOUNDARY}", disposition, *([f"Content-Type: {kind}"] if kind is not None else []), "", ""]
    return "\r\n".join(lines).encode() + content + b"\r\n"


def closed(*parts: bytes) -> bytes:
    """A complete form."""
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def post(
    client: httpx.Client, body: bytes, kind: str = TYPE, path: str = "/api/avatar/upload"
) -> httpx.Response:
    """Send a form exactly as written."""
    return client.post(path, content=body, headers={"Content-Type": kind})


def expect(answer: httpx.Response, status: int, code: str, param: str | None = None) -> None:
    """Check the error object."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["error"]["code"] == code
    assert body["detail"] == body["error"]["message"]
    assert body["error"]["doc_url"] == f"/docs/errors#{code}"
    assert (body["error"]["param"] or None) == param


@pytest.fixture(autouse=True)
def _nothing_left(api: RunningApi) -> object:
    yield
    assert api.unfinished() == []
    assert api.kept() == set()
    assert api.known_sessions() == set()


def test_handwritten_form_is_accepted(client: httpx.Client) -> None:
    body = closed(part("image_file", b"no picture", "a.png", "image/png"))
    expect(post(client, body), 400, "unreadable_image", "image_file")


def test_missing_file(client: httpx.Client) -> None:
    expect(post(client, closed(part("preprocess_mode", b"full"))), 422, "invalid_option", "image_file")


def test_empty_file_field(client: httpx.Client) -> None:
    body = closed(part("image_file", b"", "", "application/octet-stream"))
    expect(post(client, body), 422, "invalid_option", "image_file")


def test_text_instead_of_a_file(client: httpx.Client) -> None:
    expect(post(client, closed(part("image_file", b"me.png"))), 422, "invalid_option", "image_file")


def test_file_sent_twice(client: httpx.Client) -> None:
    file = part("image_file", image_bytes(), "a.png", "image/png")
    expect(post(client, closed(file, file)), 422, "invalid_option", "image_file")


def test_field_sent_twice(client: httpx.Client) -> None:
    field = part("preprocess_mode", b"full")
    expect(post(client, closed(field, field)), 422, "invalid_option", "preprocess_mode")


def test_field_that_is_not_text(client: httpx.Client) -> None:
    expect(
        post(client, closed(part("preprocess_mode", b"\xff\xfe"))), 422, "invalid_option", "preprocess_mode"
    )


def test_endless_field(client: httpx.Client) -> None:
    body = closed(part("preprocess_mode", b"x" * 20_000))
    expect(post(client, body), 413, "request_too_large", "preprocess_mode")


def test_form_with_too_many_parts(client: httpx.Client) -> None:
    body = closed(*(part(f"f{number}", b"") for number in range(100)))
    expect(post(client, body), 413, "request_too_large")


def test_incomplete_form(client: httpx.Client) -> None:
    body = part("image_file", image_bytes(), "a.png", "image/png")
    expect(post(client, body), 400, "malformed_request")


def test_body_that_is_not_a_form(client: httpx.Client) -> None:
    expect(post(client, b"\x00" * 1000), 400, "malformed_request")
    expect(post(client, b""), 400, "malformed_request")


def test_part_without_a_name(client: httpx.Client) -> None:
    body = f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode()
    expect(post(client, body), 400, "malformed_request")


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain", ""])
def test_body_of_another_type(client: httpx.Client, kind: str) -> None:
    expect(post(client, b"{}", kind), 415, "unsupported_media_type")


@pytest.mark.parametrize("boundary", ["", "; boundary=", f"; boundary={'x' * 300}"])
def test_form_without_a_usable_boundary(client: httpx.Client, boundary: str) -> None:
    expect(post(client, b"--x", f"multipart/form-data{boundary}"), 400, "malformed_request")


@pytest.mark.parametrize(
    "kind", ["application/pdf", "text/html", "audio/wav", "text/plain", "application/zip"]
)
def test_part_declared_as_something_other_than_an_image(client: httpx.Client, kind: str) -> None:
    body = closed(part("image_file", image_bytes(), "a", kind))
    expect(post(client, body), 415, "unsupported_media_type", "image_file")


@pytest.mark.parametrize("kind", ["text/html", "image/png", "application/pdf", "application/json"])
def test_part_declared_as_something_other_than_audio(client: httpx.Client, kind: str) -> None:
    body = closed(part("image_id", b"a" * 64), part("audio_file", audio_bytes(), "a", kind))
    answer = post(client, body, path="/api/vip/generate")
    expect(answer, 415, "unsupported_media_type", "audio_file")


def test_file_over_the_limit(client: httpx.Client) -> None:
    body = closed(part("image_file", b"\x89PNG" + bytes(300_000), "a.png", "image/png"))
    expect(post(client, body), 413, "image_too_large", "image_file")


def test_announced_body_over_the_limit_is_not_read(api: RunningApi) -> None:
    with raw(api) as connection:
        connection.sendall(head("Content-Length: 99999999999\r\nExpect: 100-continue"))
        assert b" 413 " in answered(connection)


def test_body_of_unknown_length_over_the_limit(api: RunningApi) -> None:
    with raw(api) as connection:
        connection.sendall(head("Transfer-Encoding: chunked"))
        sent = part("image_file", b"", "a.png", "image/png")[:-2]
        connection.sendall(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
        for _ in range(20):
            connection.sendall(b"8000\r\n" + bytes(0x8000) + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert b" 413 " in answered(connection)


def test_slow_body_times_out(api: RunningApi) -> None:
    body = part("image_file", image_bytes(), "a.png", "image/png")
    start = time.monotonic()
    with raw(api) as connection:
        connection.sendall(head(f"Content-Length: {len(body) + 100}") + body)
        answer = answered(connection)
    assert b" 408 " in answer
    assert b"upload_timeout" in answer
    assert b"connection: close" in answer.lower()
    assert 1.5 < time.monotonic() - start < 15


def test_aborted_upload_leaves_nothing(api: RunningApi, client: httpx.Client) -> None:
    body = part("image_file", image_bytes() * 20, "a.png", "image/png")
    for _ in range(5):
        with raw(api) as connection:
            connection.sendall(head("Content-Length: 280000") + body)
            until = time.monotonic() + 10
            while not api.unfinished() and time.monotonic() < until:
                time.sleep(0.01)
        until = time.monotonic() + 10
        while api.unfinished() and time.monotonic() < until:
            time.sleep(0.01)
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b\\c", "x" * 3000, "\u202e\U0001f600", "%00", "con", ""]
)
def test_file_name_is_ignored(client: httpx.Client, name: str) -> None:
    body = closed(part("image_file", b"no picture", name.replace('"', ""), "image/png"))
    expect(post(client, body), 400, "unreadable_image", "image_file")


def test_full_disk(api: RunningApi, client: httpx.Client, tmp_path: Path) -> None:
    folder = api.services.uploads
    mode = folder.stat().st_mode
    folder.rename(folder.with_name("away"))
    try:
        answer = client.post("/api/avatar/upload", files={"image_file": ("me.png", image_bytes())})
    finally:
        folder.with_name("away").rename(folder)
    assert folder.stat().st_mode == mode
    expect(answer, 507, "output_error")


def raw(api: RunningApi) -> socket.socket:
    parts = urlsplit(api.url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=15)


def head(more: str) -> bytes:
    lines = ("POST /api/avatar/upload HTTP/1.1", "Host: localhost", f"Content-Type: {TYPE}", more, "", "")
    return "\r\n".join(lines).encode()


def answered(connection: socket.socket) -> bytes:
    answer = b""
    while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
        piece = connection.recv(65536)
        if not piece:
            break
        answer += piece
    return answer
