"""Which host names the service accepts, and which web pages may change something.

Without API keys the service serves only programs and pages of this machine. But any page open in a local
browser can send requests to a loopback address, and can have a host name that resolves to it (DNS
rebinding). Browsers reveal both: the name in `Host`, the page in `Origin` and `Sec-Fetch-Site`. With API keys
none of that matters, because no other page has a key.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from sadtalker_service.api.errors import problem_response
from sadtalker_service.errors import (
    HostNotAllowed,
    InvalidInput,
    MalformedRequest,
    OriginNotAllowed,
)
from sadtalker_service.settings import Settings
from sadtalker_service.telemetry import metrics

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.IGNORECASE)
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_PROBES = frozenset({"/livez", "/readyz"})
"""Health checks may use any host name; these answers contain nothing about users."""
_ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  compared with, not bound to
_PORTS = {"http": 80, "https": 443}


class AllowedCallers:
    """ASGI middleware that refuses requests from hosts and origins that are not allowed."""

    def __init__(self, app: ASGIApp, settings: Settings, *, open_to_all: bool) -> None:
        """`open_to_all`: API keys alone decide which requests are accepted."""
        self._app = app
        self._open_to_all = open_to_all
        self._origins = frozenset(listed(settings.cors_origins))
        hosts = {name.lower() for name in listed(settings.allowed_hosts)}
        hosts |= {urlsplit(origin).hostname or "" for origin in self._origins}
        self._any_host = "*" in hosts or "*" in self._origins
        self._hosts = frozenset(hosts | {settings.host.lower()}) - _ANY_ADDRESS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        if scope["type"] in {"http", "websocket"}:
            try:
                self._check(scope)
            except InvalidInput as error:
                await problem_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Raises `MalformedRequest`, `HostNotAllowed`, `OriginNotAllowed`."""
        headers = Headers(scope=scope)
        host = _host(headers, must_be_there=scope.get("http_version") != "1.0")
        if self._open_to_all or host is None:
            return
        if scope["path"] not in _PROBES and not self._answers_to(host, scope):
            metrics.request_refused("host")
            raise HostNotAllowed(
                f"This service does not answer to the host name {host[:100]}. Without API keys it serves this"
                " machine only. Use localhost, or ask the operator to set ALLOWED_HOSTS or API_KEYS."
            )
        # a page of another origin may open a WebSocket here, as it may send a form
        if scope.get("method", "POST") not in _READING and not self._may_change(headers, host):
            metrics.request_refused("origin")
            raise OriginNotAllowed(
                "Pages of other origins may not use this service. Ask the operator to add the page's origin"
                " to CORS_ORIGINS."
            )

    def _answers_to(self, host: str, scope: Scope) -> bool:
        name = host.rpartition(":")[0] if _has_port(host) else host
        name = name.strip("[]").rstrip(".").lower()
        if self._any_host or name in self._hosts or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        # an attacker's DNS name cannot equal the address that the connection arrived at
        return (mapped or address).is_loopback or name == (scope.get("server") or ("",))[0]

    def _may_change(self, headers: Headers, host: str) -> bool:
        origins = headers.getlist("origin")
        if not origins:  # a program, or a browser that does not send it
            return headers.get("sec-fetch-site", "none") in {"same-origin", "none"}
        if len(origins) > 1:
            return False
        origin = origins[0]
        return "*" in self._origins or origin in self._origins or _authority(origin) == host.lower()


def listed(text: str) -> Iterable[str]:
    """The entries of a comma-separated setting."""
    return (word for word in (part.strip() for part in text.split(",")) if word)


def _host(headers: Headers, *, must_be_there: bool) -> str | None:
    hosts = headers.getlist("host")
    if not hosts and not must_be_there:
        return None
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise MalformedRequest("A request needs exactly one Host header with a name or an address.")
    return hosts[0]


def _has_port(host: str) -> bool:
    return not host.endswith("]") and ":" in host


def _authority(origin: str) -> str:
    """The origin in the form of a `Host` header, without the default port."""
    try:
        parts = urlsplit(origin.lower())
        port = parts.port
    except ValueError:
        return ""
    usual = port is None or port == _PORTS.get(parts.scheme)
    return parts.netloc.rpartition(":")[0] if usual and port is not None else parts.netloc
