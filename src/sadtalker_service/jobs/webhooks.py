"""Delivers callbacks over HTTP: signed, without following anybody, and not into the house itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from typing import Literal

import httpx
import structlog

from sadtalker_service import __version__
from sadtalker_service.errors import StoreMisconfigured
from sadtalker_service.settings import Settings
from sadtalker_service.state.webhook_queue import Callback

log = structlog.get_logger(__name__)

TRY_SECONDS = 15.0
"""A receiver must have answered after so long; one that answers a byte at a time gains nothing by it."""
_SECRET_PREFIX = "whsec_"  # noqa: S105  # how secrets begin, not one
_GONE = 410
"""The receiver's way of saying that it wants no more."""

_LAST_32_BITS = tuple(map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0/96", "64:ff9b::/96")))
"""Forms in which an IPv6 address carries an IPv4 one at its end (RFC 4291, RFC 6052)."""
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")

Result = Literal["delivered", "refused", "given_up"]


class WebhookSender:
    """Sends callbacks to their receivers."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        """Raises `StoreMisconfigured` for a secret that cannot be read."""
        self._secret = read_secret(settings.webhook_secret)
        self._allow_private = settings.webhook_allow_private
        self._clock = clock

    def deliver(self, callbacks: Sequence[Callback]) -> tuple[Result, ...]:
        """Try each of them once, all at the same time: what became of them. Takes 15 s at most."""
        return asyncio.run(self._deliver_all(callbacks))

    async def _deliver_all(self, callbacks: Sequence[Callback]) -> tuple[Result, ...]:
        # proxies of the environment would resolve names by themselves, behind our back
        async with httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=TRY_SECONDS) as client:
            return tuple(await asyncio.gather(*(self._try(client, callback) for callback in callbacks)))

    async def _try(self, client: httpx.AsyncClient, callback: Callback) -> Result:
        facts = {"callback_id": callback.callback_id, "tries": callback.tries + 1}
        try:
            async with asyncio.timeout(TRY_SECONDS):
                status = await self._post(client, callback)
        except ForbiddenReceiver as error:
            log.warning("callback_forbidden", reason=str(error), **facts)
            return "given_up"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            log.info("callback_failed", reason=f"{type(error).__name__}: {error}", **facts)
            return "refused"
        log.info("callback_sent", status=status, **facts)
        if status == _GONE:
            return "given_up"
        return "delivered" if 200 <= status < 300 else "refused"

    async def _post(self, client: httpx.AsyncClient, callback: Callback) -> int:
        url = httpx.URL(callback.url)
        address = await self._address(url)
        # to the address that was checked: asking for it again might give another answer
        request = client.build_request(
            "POST",
            url.copy_with(host=address),
            content=callback.body.encode(),
            headers={**self._headers(callback), "Host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": url.host},
        )
        answer = await client.send(request, stream=True)
        await answer.aclose()  # the status says it all
        return answer.status_code

    async def _address(self, url: httpx.URL) -> str:
        """An address of the receiver. Raises `ForbiddenReceiver`, `OSError`."""
        if url.scheme not in {"http", "https"} or not url.host:
            raise ForbiddenReceiver("only http and https addresses are called")
        loop = asyncio.get_running_loop()
        port = url.port or (443 if url.scheme == "https" else 80)
        found = await loop.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        if not self._allow_private and not all(map(is_public, addresses)):
            raise ForbiddenReceiver(f"{url.host} is a private address")
        return addresses[0]

    def _headers(self, callback: Callback) -> dict[str, str]:
        stamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"sadtalker-service/{__version__}",
            "webhook-id": callback.callback_id,
            "webhook-timestamp": stamp,
        }
        if self._secret:
            headers["webhook-signature"] = sign(self._secret, callback.callback_id, stamp, callback.body)
        return headers


class ForbiddenReceiver(Exception):
    """This address is never called."""


def sign(secret: bytes, message_id: str, timestamp: str, body: str) -> str:
    """Value of `webhook-signature` (Standard Webhooks, symmetric: HMAC-SHA256 over id, time and body)."""
    digest = hmac.new(secret, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def read_secret(text: str) -> bytes:
    """The bytes of `whsec_` and base64; empty for none. Raises `StoreMisconfigured`."""
    if not text:
        return b""
    try:
        return base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError as error:
        raise StoreMisconfigured(
            "WEBHOOK_SECRET is not `whsec_` followed by base64; make one with"
            " `echo whsec_$(head -c 32 /dev/urandom | base64)`."
        ) from error


def is_public(address: str) -> bool:
    """Whether an IP address is one of the whole Internet: not of this machine, this network, or nobody's."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    carried = _carried(parsed) if isinstance(parsed, ipaddress.IPv6Address) else None
    return all(each.is_global and not each.is_multicast for each in (carried or (parsed,)))


def _carried(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...] | None:
    """The IPv4 addresses to which a gateway or a tunnel would lead; None for an address of its own right."""
    if any(address in network for network in _LAST_32_BITS):
        return (ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF),)
    if address in _LOCAL_NAT64:
        return (ipaddress.IPv4Address(0),)  # whatever this network makes of it
    if address.sixtofour is not None:
        return (address.sixtofour,)
    return address.teredo
