"""Which names the service answers to, and whose pages may change something.

Without API keys the service is for this machine's own programs and pages. But every page that is open in a
browser here can send requests to a loopback address too, and can have a name of its own that leads to it (DNS
rebinding). Browsers tell both: the name in `Host`, the page in `Origin` and `Sec-Fetch-Site`. With keys none
of that matters: no other page has the key.
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
"""Asked by health checks under whatever name they have; they tell nothing of anybody."""
_ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  recognised, not listened on
_PORTS = {"http": 80, "https": 443}


class AllowedCallers:
    """ASGI middleware that refuses what does not come from where it may."""

    def __init__(self, app: ASGIApp, settings: Settings, *, open_to_all: bool) -> None:
        """`open_to_all`: only keys decide who is let in."""
        self._app = app
        self._open_to_all = open_to_all
        self._origins = frozenset(listed(settings.cors_origins))
        hosts = {name.lower() for name in listed(settings.allowed_hosts)}
        hosts |= {urlsplit(origin).hostname or "" for origin in self._origins}
        self._any_host = "*" in hosts or "*" in self._origins
        self._hosts = frozenset(hosts | {settings.host.lower()}) - _ANY_ADDRESS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of `scope`."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except InvalidInput as error:
                await problem_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Raises `MalformedRequest`, `HostNotAllowed`, `OriginNotAllowed`."""
        headers = Headers(scope=scope)
        host = _host(headers, must_be_there=scope["http_version"] != "1.0")
        if self._open_to_all or host is None:
            return
        if scope["path"] not in _PROBES and not self._answers_to(host, scope):
            metrics.request_refused("host")
            raise HostNotAllowed(
                f"This service does not answer under the name {host[:100]}: without API keys it is for this"
                " machine alone. Use localhost, or have ALLOWED_HOSTS or API_KEYS set."
            )
        if scope["method"] not in _READING and not self._may_change(headers, host):
            metrics.request_refused("origin")
            raise OriginNotAllowed(
                "Pages of other origins may not use this service. Have the page's origin set in CORS_ORIGINS."
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
        # the address at which the connection has arrived is no name that could have been pointed here
        return (mapped or address).is_loopback or name == (scope.get("server") or ("",))[0]

    def _may_change(self, headers: Headers, host: str) -> bool:
        origins = headers.getlist("origin")
        if not origins:  # a program, or a browser that does not tell
            return headers.get("sec-fetch-site", "none") in {"same-origin", "none"}
        if len(origins) > 1:
            return False
        origin = origins[0]
        return "*" in self._origins or origin in self._origins or _authority(origin) == host.lower()


def listed(text: str) -> Iterable[str]:
    """The words of a setting that are separated by commas."""
    return (word for word in (part.strip() for part in text.split(",")) if word)


def _host(headers: Headers, *, must_be_there: bool) -> str | None:
    hosts = headers.getlist("host")
    if not hosts and not must_be_there:
        return None
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise MalformedRequest("A request needs one Host header, with a name or an address.")
    return hosts[0]


def _has_port(host: str) -> bool:
    return not host.endswith("]") and ":" in host


def _authority(origin: str) -> str:
    """As `Host` has it: without the port that goes without saying."""
    try:
        parts = urlsplit(origin.lower())
        port = parts.port
    except ValueError:
        return ""
    usual = port is None or port == _PORTS.get(parts.scheme)
    return parts.netloc.rpartition(":")[0] if usual and port is not None else parts.netloc
