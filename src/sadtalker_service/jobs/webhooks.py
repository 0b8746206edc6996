"""Delivers callbacks over HTTP. They are signed, redirects are not followed, private addresses not called."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from typing import Literal

import httpx
import structlog

from sadtalker_service import __version__
from sadtalker_service.errors import InvalidOption, StoreMisconfigured
from sadtalker_service.jobs.addresses import addresses_of, is_private_host, is_public
from sadtalker_service.settings import Settings
from sadtalker_service.state.webhook_queue import Callback

log = structlog.get_logger(__name__)

TRY_SECONDS = 15.0
"""Time limit for the whole response. A receiver that sends one byte at a time gains nothing."""
_SECRET_PREFIX = "whsec_"  # noqa: S105  # the prefix of secrets, not a secret
_GONE = 410
"""Status with which a receiver asks for no more callbacks."""

Result = Literal["delivered", "refused", "given_up"]


class WebhookSender:
    """Sends callbacks to their receivers."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        """Raises `StoreMisconfigured` for an unreadable secret."""
        self._secret = read_secret(settings.webhook_secret)
        self._allow_private = settings.webhook_allow_private
        self._clock = clock

    def deliver(self, callbacks: Sequence[Callback]) -> tuple[Result, ...]:
        """Try each callback once, all in parallel, and return the results. Takes 15 s at most."""
        return asyncio.run(self._deliver_all(callbacks))

    async def _deliver_all(self, callbacks: Sequence[Callback]) -> tuple[Result, ...]:
        # a proxy from the environment would resolve names itself and bypass the address check
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
        # to the checked address, because a second lookup might return a different one
        request = client.build_request(
            "POST",
            url.copy_with(host=address),
            content=callback.body.encode(),
            headers={**self._headers(callback), "Host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": url.host},
        )
        answer = await client.send(request, stream=True)
        await answer.aclose()  # only the status matters
        return answer.status_code

    async def _address(self, url: httpx.URL) -> str:
        """An address of the receiver. Raises `ForbiddenReceiver`, `OSError`."""
        if url.scheme not in {"http", "https"} or not url.host:
            raise ForbiddenReceiver("only http and https addresses are called")
        addresses = await addresses_of(url.host, _port(url))
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


async def check_receiver(url: str, settings: Settings) -> None:
    """Raises `InvalidOption` for a `callback_url` that would never be called."""
    if settings.webhook_allow_private:
        return
    try:
        receiver = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidOption("callback_url is not a valid URL.", param="callback_url") from error
    if await is_private_host(receiver.host, _port(receiver)):
        raise InvalidOption(
            "callback_url leads to a private or loopback address, which is not called. Use a public address,"
            " or ask the operator to set WEBHOOK_ALLOW_PRIVATE.",
            param="callback_url",
        )


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


class ForbiddenReceiver(Exception):
    """The address must not be called."""


def sign(secret: bytes, message_id: str, timestamp: str, body: str) -> str:
    """Value of `webhook-signature` (Standard Webhooks, symmetric: HMAC-SHA256 over id, time and body)."""
    digest = hmac.new(secret, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def read_secret(text: str) -> bytes:
    """The decoded bytes of a `whsec_` secret; empty if there is none. Raises `StoreMisconfigured`."""
    if not text:
        return b""
    try:
        return base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError as error:
        raise StoreMisconfigured(
            "WEBHOOK_SECRET is not `whsec_` followed by base64. Create one with"
            " `echo whsec_$(head -c 32 /dev/urandom | base64)`."
        ) from error
