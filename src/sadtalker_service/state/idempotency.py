"""`Idempotency-Key`: a request that is sent again is answered as the first time, its work is done once."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import redis

from sadtalker_service.errors import Conflict, IdempotencyKeyReused
from sadtalker_service.settings import Settings
from sadtalker_service.state.queue_server import QueueServer

LEASE_SECONDS = 5.0
"""A claim ends so long after its last renewal: the process that worked on the request has died."""
RENEWAL_SECONDS = 1.5
"""A request that is alive renews its claim so often."""


@dataclass(frozen=True)
class Claim:
    """What a key stands for."""

    record: str
    """Name of the record on the queue's server."""
    token: str
    """Of the request that holds the claim."""
    session_id: str
    """Session that the request became, or is to become."""
    answered: bool
    """Whether it became that session before: there is nothing to do."""


class IdempotencyKeys:
    """Keys and what their requests became. Every method raises `StoreUnavailable`.

    A claim that is not `answered`: do the work under its `session_id`, `renew` the claim meanwhile, then
    `complete` it, or `release` it where the work could not be done.
    """

    def __init__(self, queue: redis.Redis, settings: Settings, lease_seconds: float = LEASE_SECONDS) -> None:
        self._queue = QueueServer(queue)
        self._kept = round(1000 * settings.idempotency_seconds)
        self._lease = round(1000 * lease_seconds)

    def claim(self, scope: str, key: str, fingerprint: str, session_id: str) -> Claim:
        """The claim of this request, or that of the first one if it was answered.

        `scope` keeps users apart (owner and lane); `fingerprint` is a hash of all that the request asks for;
        `session_id` is for a session that is new. After the death of a request its claim passes to the next
        one, with the same session id: the session may have been accepted before.

        Raises `Conflict` while the first request is being answered, with the time until its claim would end,
        and `IdempotencyKeyReused` for another fingerprint.
        """
        record, token = _name(scope, key), secrets.token_hex(8)
        answer = self._queue.script(
            "claim_key", record, fingerprint, token, self._lease, self._kept, session_id
        )
        match answer[0]:
            case b"new" | b"done":
                return Claim(record, token, answer[1].decode(), answered=answer[0] == b"done")
            case b"busy":
                raise Conflict(
                    "A request with this Idempotency-Key is being answered.",
                    param="Idempotency-Key",
                    retry_after=min(int(answer[1]), self._lease) / 1000,  # a server may round up
                )
            case _:
                raise IdempotencyKeyReused(
                    "This Idempotency-Key came with another request before; take a new one.",
                    param="Idempotency-Key",
                )

    def renew(self, claim: Claim) -> bool:
        """The request is alive. False where the claim belongs to another one by now."""
        return bool(self._queue.script("renew_key", claim.record, claim.token, self._lease))

    def complete(self, claim: Claim) -> None:
        """The request became its session."""
        self._queue.script("complete_key", claim.record, claim.token, self._kept)

    def release(self, claim: Claim) -> None:
        """The request was refused or failed: it may be sent again."""
        self._queue.script("release_key", claim.record, claim.token)


def _name(scope: str, key: str) -> str:
    """Of the record: users choose keys of any length, with any characters."""
    digest = hashlib.sha256(f"{scope}\0{key}".encode()).hexdigest()
    return f"idempotency:{digest}"
