"""API keys: who may ask, whose avatars and videos they see, who may use the VIP lane, and how often.

Without keys in the settings nobody is asked for one, and everything belongs to one owner. With keys,
everything that tells of source images, videos or load needs one; what is the same for everybody (documents,
studio page, liveness, readiness) needs none.
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
from sadtalker_service.state.viewer import EVERYBODY, Viewer
from sadtalker_service.telemetry import metrics


class _KeyEntry(BaseModel):
    """One entry of `API_KEYS`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    key: str = Field(min_length=1, pattern=r"^\S+$")
    owner: str | None = Field(None, min_length=1, max_length=64)
    admin: bool = False
    vip: bool = True
    per_minute: int | None = Field(None, ge=1)


_ENTRIES = TypeAdapter(list[_KeyEntry])
_SHOW_A_KEY = "Show an API key: `Authorization: Bearer KEY` or `X-API-Key: KEY`."


@dataclass(frozen=True)
class ApiKey:
    """A key that may use the API. The key itself is not kept, only its digest."""

    name: str
    digest: bytes = field(repr=False)
    """sha256 of the key."""
    owner: str
    """Whose avatars and videos it sees and makes. Several keys may share one: an old and a new key, say."""
    admin: bool
    """Whether it sees those of all owners, and may delete and cancel them."""
    vip: bool
    """Whether it may use the VIP lane."""
    per_minute: int | None
    """Requests that it may send in a minute; None: any number."""


def load_keys(settings: Settings) -> tuple[ApiKey, ...]:
    """The keys of the settings. Raises `StoreMisconfigured` if they cannot be read."""
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
        # the error's own text would repeat the keys
        wrong = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(step) for step in wrong["loc"]) or "the list"
        raise StoreMisconfigured(f"API_KEYS cannot be read: {where}: {wrong['msg']}.") from None
    if len({entry.name for entry in entries}) < len(entries):
        raise StoreMisconfigured("API_KEYS has two keys of the same name.")
    if len({entry.key for entry in entries}) < len(entries):
        raise StoreMisconfigured("API_KEYS has the same key twice: whose it is cannot be told.")
    return tuple(
        ApiKey(e.name, digest_of(e.key), e.owner or e.name, e.admin, e.vip, e.per_minute) for e in entries
    )


class KeyRing:
    """Finds the key that a client shows."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._keys = tuple(keys)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._keys)

    def find(self, shown: str) -> ApiKey | None:
        """The key, or None. Takes the same time for every wrong one: all are compared, by their digests."""
        digest, found = digest_of(shown), None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


class Gate:
    """Lets requests in that show a key with the right to what they ask for."""

    def __init__(self, keys: KeyRing, limit: RateLimit, wrong_keys: WrongKeys) -> None:
        self._keys = keys
        self._limit = limit
        self._wrong_keys = wrong_keys

    async def admit(self, shown: str | None, address: str) -> ApiKey | None:
        """The key; None where none is needed. `address` is the client's.

        Raises `Unauthorized`, `RateLimited`, `StoreUnavailable`.
        """
        if not self._keys:
            return None
        if not shown:
            metrics.request_refused("no_key")
            raise Unauthorized(_SHOW_A_KEY)
        key = self._look(shown, address)
        if key.per_minute is not None:
            wait = await self._limit.take(key.name, key.per_minute)
            if wait is not None:
                metrics.request_refused("rate")
                raise RateLimited(
                    f"This API key may send {key.per_minute} requests a minute; try again in {wait:.1f} s.",
                    retry_after=wait,
                )
        return key

    def _look(self, shown: str, address: str) -> ApiKey:
        digest = digest_of(shown)
        wait = self._wrong_keys.wait(address, digest)
        if wait is not None:
            metrics.request_refused("many_wrong_keys")
            raise RateLimited(
                f"Many wrong API keys came from this address; try again in {wait:.1f} s.", retry_after=wait
            )
        key = self._keys.find(shown)
        if key is None:
            self._wrong_keys.was_wrong(address)
            metrics.request_refused("wrong_key")
            raise Unauthorized("This API key is not known.")
        self._wrong_keys.was_right(address, digest)
        return key


_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="One of `API_KEYS`.")
_BEARER = HTTPBearer(auto_error=False, description="One of `API_KEYS`.")


async def admitted(
    request: Request,
    _header: Annotated[str | None, Security(_HEADER)],
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> None:
    """Dependency of every route that needs a key where there are any."""
    await admit(request)


async def admit(request: Request) -> None:
    """Let `request` in, and remember its key for the route. Raises what `Gate.admit` raises."""
    gate: Gate = request.app.state.gate
    address = request.client.host if request.client else ""
    request.state.api_key = await gate.admit(_shown(request), address)


def _shown(request: Request) -> str | None:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    return request.headers.get("x-api-key")


def require_lane(request: Request, lane: Lane) -> None:
    """Raises `Forbidden` if the request's key may not use the lane."""
    key: ApiKey | None = getattr(request.state, "api_key", None)
    if key is not None and lane == "vip" and not key.vip:
        metrics.request_refused("lane")
        raise Forbidden("This API key may not use the VIP lane; use /api/standard.")


def viewer_of(request: Request) -> Viewer:
    """Who asks, for the stores. Raises `Unauthorized` where there is no key and one is needed."""
    key: ApiKey | None = getattr(request.state, "api_key", None)
    if key is not None:
        return Viewer(key.owner, sees_all=key.admin)
    if request.app.state.keys:
        raise Unauthorized(_SHOW_A_KEY)
    return EVERYBODY


Admitted = Depends(admitted)


def digest_of(key: str) -> bytes:
    """sha256 of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
