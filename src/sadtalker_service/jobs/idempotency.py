"""`Idempotency-Key`: a request that is sent again is answered as the first time, and its work is done once."""

from __future__ import annotations

import redis

from sadtalker_service.jobs.queue_server import QueueServer
from sadtalker_service.settings import Settings

FLIGHT_SECONDS = 60.0
"""An answer that is not there after so long never will be: the process that worked on it has died."""


class IdempotencyKeys:
    """Keys and what their requests became. Every method raises `StoreUnavailable`.

    claim -> None: do the work, then `complete` it, or `release` the key where it could not be done.
    """

    def __init__(self, queue: redis.Redis, settings: Settings) -> None:
        self._queue = QueueServer(queue)
        self._settings = settings

    def claim(self, scope: str, key: str, fingerprint: str) -> str | None:
        """None if the key is new and now belongs to this request, else the session id of the first answer.

        `scope` keeps users apart (name of the API key, method and path); `fingerprint` is a hash of all that
        the request asks for. Raises `Conflict` while the first one is being answered and
        `IdempotencyKeyReused` for another fingerprint.
        """

    def complete(self, scope: str, key: str, fingerprint: str, session_id: str) -> None:
        """The request became `session_id`."""

    def release(self, scope: str, key: str, fingerprint: str) -> None:
        """The request was refused or failed: it may be sent again."""
