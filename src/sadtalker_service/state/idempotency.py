"""`Idempotency-Key`: a request that is sent again gets the same session, and its work is done once."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import redis

from sadtalker_service.errors import Conflict, IdempotencyKeyReused
from sadtalker_service.settings import Settings
from sadtalker_service.state.queue_server import QueueServer

LEASE_SECONDS = 5.0
"""A claim without a renewal for this long ends, because its process has died."""
RENEWAL_SECONDS = 1.5
"""Interval of renewals."""


@dataclass(frozen=True)
class Claim:
    """The claim of a request on its key."""

    record: str
    """Name of the record on the queue server."""
    token: str
    """Token of the request that holds the claim."""
    session_id: str
    """Session that the request became, or will become."""
    answered: bool
    """Whether the session already exists, so that there is nothing to do."""


class IdempotencyKeys:
    """Keys and the sessions of their requests. Every method raises `StoreUnavailable`.

    For a claim that is not `answered`, create the session `session_id`, `renew` the claim meanwhile, then
    `complete` it. If the session could not be created, `release` it.
    """

    def __init__(self, queue: redis.Redis, settings: Settings, lease_seconds: float = LEASE_SECONDS) -> None:
        self._queue = QueueServer(queue)
        self._kept = round(1000 * settings.idempotency_seconds)
        self._lease = round(1000 * lease_seconds)

    def claim(self, scope: str, key: str, request_hash: str, session_id: str) -> Claim:
        """The claim of this request, or that of the first one if it was answered.

        `scope` separates users (owner and lane). `request_hash` is a hash of the whole request. `session_id`
        is used for a new session. If the process of a request dies, its claim passes to the next request with
        the same session id, because the session may already have been accepted.

        Raises `Conflict` while the first request is being processed, with the time until its claim ends, and
        `IdempotencyKeyReused` for a different request.
        """
        record, token = _name(scope, key), secrets.token_hex(8)
        answer = self._queue.script(
            "claim_key", record, request_hash, token, self._lease, self._kept, session_id
        )
        match answer[0]:
            case b"new" | b"done":
                return Claim(record, token, answer[1].decode(), answered=answer[0] == b"done")
            case b"busy":
                raise Conflict(
                    "A request with this Idempotency-Key is being processed. Try again in a moment.",
                    param="Idempotency-Key",
                    retry_after=min(int(answer[1]), self._lease) / 1000,  # a server may round up
                )
            case _:
                raise IdempotencyKeyReused(
                    "This Idempotency-Key was used before with a different request. Use a new key.",
                    param="Idempotency-Key",
                )

    def renew(self, claim: Claim) -> bool:
        """Extend the claim. False if it belongs to another request by now."""
        return bool(self._queue.script("renew_key", claim.record, claim.token, self._lease))

    def complete(self, claim: Claim) -> None:
        """Record that the session exists."""
        self._queue.script("complete_key", claim.record, claim.token, self._kept)

    def release(self, claim: Claim) -> None:
        """Record that the request was refused or failed, so that it may be sent again."""
        self._queue.script("release_key", claim.record, claim.token)


def _name(scope: str, key: str) -> str:
    """Name of the record. It is hashed, because keys may have any length and any characters."""
    digest = hashlib.sha256(f"{scope}\0{key}".encode()).hexdigest()
    return f"idempotency:{digest}"
