"""API keys: who has access, which avatars and videos a key sees, the VIP lane, and rate limits.

Without keys in the settings no key is required, and everything belongs to one owner. With keys, every route
about source images, videos or load needs one. Routes that are the same for all clients (documentation, studio
page, liveness, readiness) need none.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sadtalker_service.api.access.rate_limit import RateLimit
from sadtalker_service.api.access.wrong_keys import WrongKeys
from sadtalker_service.errors import Forbidden, RateLimited, StoreMisconfigured, Unauthorized
from sadtalker_service.settings import Settings
from sadtalker_service.state.records import Lane
from sadtalker_service.state.viewer import UNRESTRICTED, Viewer
from sadtalker_service.telemetry import metrics


class _KeyEntry(BaseModel):
    """One entry of `API_KEYS`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    key: str = Field(min_length=1, pattern=r"^\S+$")
    owner: str | None = Field(None, min_length=1, max_length=64)
    admin: bool = False
    vip: bool = True
    live: bool = True
    per_minute: int | None = Field(None, ge=1)


_ENTRIES = TypeAdapter(list[_KeyEntry])
_SEND_A_KEY = "Send an API key: `Authorization: Bearer KEY` or `X-API-Key: KEY`."


@dataclass(frozen=True)
class ApiKey:
    """A key for the API. Only its digest is kept, not the key itself."""

    name: str
    digest: bytes = field(repr=False)
    """sha256 of the key."""
    owner: str
    """Owner of the avatars and videos it sees and creates. Several keys may share one, for rotation."""
    admin: bool
    """Whether it sees the avatars and videos of all owners, and may delete and cancel them."""
    vip: bool
    """Whether it may use the VIP lane."""
    live: bool
    """Whether it may start live sessions."""
    per_minute: int | None
    """Requests it may send per minute; None for no limit."""


def load_keys(settings: Settings) -> tuple[ApiKey, ...]:
    """The keys in the settings. Raises `StoreMisconfigured` if they cannot be read."""
    text = settings.api_keys
    if settings.api_keys_file is not None:
        try:
            text = settings.api_keys_file.read_text()
        except OSError as error:
            raise StoreMisconfigured(f"Cannot read API_KEYS_FILE: {error.strerror}.") from error
    if not text.strip():
        return ()
    try:
        entries = _ENTRIES.validate_json(text)
    except ValidationError as error:
        # the text of the error would contain the keys
        wrong = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(step) for step in wrong["loc"]) or "the list"
        raise StoreMisconfigured(f"API_KEYS cannot be read: {where}: {wrong['msg']}.") from None
    if len({entry.name for entry in entries}) < len(entries):
        raise StoreMisconfigured("API_KEYS has two keys with the same name. Give each its own name.")
    if len({entry.key for entry in entries}) < len(entries):
        raise StoreMisconfigured("API_KEYS has the same key twice, so its owner is ambiguous. Remove one.")
    return tuple(
        ApiKey(e.name, digest_of(e.key), e.owner or e.name, e.admin, e.vip, e.live, e.per_minute)
        for e in entries
    )


class KeyRing:
    """Finds the key that a client sent."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._keys = tuple(keys)

    def __bool__(self) -> bool:
        """Whether there are any keys."""
        return bool(self._keys)

    def find(self, sent: str) -> ApiKey | None:
        """The key, or None. Compares the digests of all keys, so every wrong key takes the same time."""
        digest, found = digest_of(sent), None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


class Gate:
    """Admits requests whose key has the required rights."""

    def __init__(self, keys: KeyRing, limit: RateLimit, wrong_keys: WrongKeys) -> None:
        self._keys = keys
        self._limit = limit
        self._wrong_keys = wrong_keys

    async def admit(self, sent: str | None, address: str) -> ApiKey | None:
        """The key, or None if none is required. `address` is the client's address.

        Raises `Unauthorized`, `RateLimited`, `StoreUnavailable`.
        """
        if not self._keys:
            return None
        if not sent:
            metrics.request_refused("no_key")
            raise Unauthorized(_SEND_A_KEY)
        key = self._find_key(sent, address)
        if key.per_minute is not None:
            wait = await self._limit.take(key.name, key.per_minute)
            if wait is not None:
                metrics.request_refused("rate")
                raise RateLimited(
                    f"This API key may send {key.per_minute} requests per minute. Try again in {wait:.1f} s.",
                    retry_after=wait,
                )
        return key

    def _find_key(self, sent: str, address: str) -> ApiKey:
        digest = digest_of(sent)
        wait = self._wrong_keys.wait(address, digest)
        if wait is not None:
            metrics.request_refused("many_wrong_keys")
            raise RateLimited(
                f"This address sent too many wrong API keys. Try again in {wait:.1f} s.", retry_after=wait
            )
        key = self._keys.find(sent)
        if key is None:
            self._wrong_keys.was_wrong(address)
            metrics.request_refused("wrong_key")
            raise Unauthorized("This API key is unknown. Check it, or ask the operator for one.")
        self._wrong_keys.was_right(address, digest)
        return key


_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="One of `API_KEYS`.")
_BEARER = HTTPBearer(auto_error=False, description="One of `API_KEYS`.")


async def admitted(
    request: Request,
    _header: Annotated[str | None, Security(_HEADER)],
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> None:
    """Dependency of every route that requires a key if keys are configured."""
    await admit(request)


async def admit(request: Request) -> None:
    """Admit `request`, and store its key for the route. Raises what `Gate.admit` raises."""
    gate: Gate = request.app.state.gate
    address = request.client.host if request.client else ""
    request.state.api_key = await gate.admit(_sent_key(request), address)


def _sent_key(request: Request) -> str | None:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    return request.headers.get("x-api-key")


def require_lane(request: Request, lane: Lane) -> Viewer:
    """The client, see `viewer_of`. Raises `Forbidden` if its key may not use the lane, `Unauthorized`."""
    key: ApiKey | None = getattr(request.state, "api_key", None)
    if key is not None and lane == "vip" and not key.vip:
        metrics.request_refused("lane")
        raise Forbidden("This API key may not use the VIP lane. Use /api/standard.")
    return viewer_of(request)


def require_live(request: Request) -> None:
    """Raises `Forbidden` if the request's key may not start live sessions."""
    key: ApiKey | None = getattr(request.state, "api_key", None)
    if key is not None and not key.live:
        metrics.request_refused("live")
        raise Forbidden("This API key may not start live sessions. Ask the operator for one that may.")


def viewer_of(request: Request) -> Viewer:
    """The client as the stores see it. Raises `Unauthorized` if a key is required and missing."""
    key: ApiKey | None = getattr(request.state, "api_key", None)
    if key is not None:
        return Viewer(key.owner, sees_all=key.admin)
    if request.app.state.keys:
        raise Unauthorized(_SEND_A_KEY)
    return UNRESTRICTED


Admitted = Depends(admitted)


def digest_of(key: str) -> bytes:
    """sha256 of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
