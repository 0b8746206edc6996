"""`Idempotency-Key`: a request that is sent again is answered as the first time, its work is done once."""

from __future__ import annotations

import hashlib
import secrets

import redis

from sadtalker_service.errors import Conflict, IdempotencyKeyReused
from sadtalker_service.settings import Settings
from sadtalker_service.state.queue_server import QueueServer

FLIGHT_SECONDS = 60.0
"""An answer that is not there after so long never will be: the process that worked on it has died."""

_RETRY_AFTER = 1.0


class IdempotencyKeys:
    """Keys and what their requests became. Every method raises `StoreUnavailable`.

    claim -> None: do the work, then `complete` it, or `release` the key where it could not be done.
    """

    def __init__(self, queue: redis.Redis, settings: Settings) -> None:
        self._queue = QueueServer(queue)
        self._kept = round(1000 * settings.idempotency_seconds)

    def claim(self, scope: str, key: str, fingerprint: str) -> str | None:
        """None if the key is new and now belongs to this request, else the session id of the first answer.

        `scope` keeps users apart (name of the API key, method and path); `fingerprint` is a hash of all that
        the request asks for. Raises `Conflict` while the first one is being answered and
        `IdempotencyKeyReused` for another fingerprint. The session may have been forgotten by now.
        """
        token = secrets.token_hex(8)
        flight = round(1000 * FLIGHT_SECONDS)
        answer = self._queue.script("claim_key", _name(scope, key), fingerprint, token, flight)
        match answer[0]:
            case b"new":
                return None
            case b"done":
                session_id: str = answer[1].decode()
                return session_id
            case b"busy":
                raise Conflict(
                    "A request with this Idempotency-Key is being answered.",
                    param="Idempotency-Key",
                    retry_after=_RETRY_AFTER,
                )
            case _:
                raise IdempotencyKeyReused(
                    "This Idempotency-Key came with another request before; take a new one.",
                    param="Idempotency-Key",
                )

    def complete(self, scope: str, key: str, fingerprint: str, session_id: str) -> None:
        """The request became `session_id`."""
        self._queue.script("complete_key", _name(scope, key), fingerprint, session_id, self._kept)

    def release(self, scope: str, key: str, fingerprint: str) -> None:
        """The request was refused or failed: it may be sent again."""
        self._queue.script("release_key", _name(scope, key), fingerprint)


def _name(scope: str, key: str) -> str:
    """Of the record: users choose keys of any length, with any characters."""
    digest = hashlib.sha256(f"{scope}\0{key}".encode()).hexdigest()
    return f"idempotency:{digest}"
