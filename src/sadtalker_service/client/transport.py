"""What both clients share about httpx: its settings, a request for it, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from sadtalker_service.client.errors import Unreachable
from sadtalker_service.client.exchange import Answer, Request
from sadtalker_service.errors import InvalidOption

DEFAULT_URL = "http://127.0.0.1:8000"
_CONNECT_SECONDS = 10.0


def http_settings(url: str, api_key: str | None, timeout: float) -> dict[str, Any]:
    """Arguments of httpx's clients. Raises `InvalidOption` for what is no address of a service."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise InvalidOption(f"{url!r} is not an address like {DEFAULT_URL}.", param="url")
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise InvalidOption("The API key has characters that no API key can have. Check it.", param="api_key")
    headers = {"Accept-Encoding": "identity"}  # a resumed download counts bytes as they are stored
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    return {
        "base_url": parsed,
        "headers": headers,
        "timeout": httpx.Timeout(timeout, connect=_CONNECT_SECONDS),
    }


@contextmanager
def http_request(request: Request, timeout: float) -> Iterator[dict[str, Any]]:
    """Arguments for `build_request`. The files of the request are open inside."""
    with ExitStack() as stack:
        files: dict[str, tuple[str, Any]] = {}
        for name, source in request.files.items():
            if isinstance(source, bytes):
                files[name] = (name, source)
            else:
                path = Path(source)
                files[name] = (path.name, stack.enter_context(path.open("rb")))
        yield {
            "method": request.method,
            "url": request.path,
            "params": dict(request.params),
            "data": dict(request.form) or None if files else None,
            "files": files or _fields(request) or None,
            "headers": dict(request.headers),
            "timeout": httpx.Timeout(timeout, connect=_CONNECT_SECONDS, read=timeout + request.silence),
        }


def _fields(request: Request) -> dict[str, tuple[None, str]]:
    """The form as parts of a multipart form, which httpx does not send of itself where there is no file."""
    return {name: (None, text) for name, text in request.form.items()}


def answer_of(response: httpx.Response, body: bytes = b"") -> Answer:
    """What the service answered."""
    return Answer(response.status_code, dict(response.headers), body)


@contextmanager
def as_unreachable(base: httpx.URL) -> Iterator[None]:
    """Context manager that turns errors of the connection into `Unreachable`."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Unreachable(f"Nothing answers at {base}. Is the service running there?", sent=False) from error
    except httpx.TimeoutException as error:
        raise Unreachable(f"The service at {base} did not answer in time.", sent=True) from error
    except httpx.TransportError as error:
        raise Unreachable(f"The connection to {base} broke: {error}.", sent=True) from error
