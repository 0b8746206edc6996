"""What happened to a session, in order, as a stream that can be read again from any point.

The scripts append an event at every change of state and, at most five times a second, of the moment:

    {"state": "generating", "at": 1700000000.1, "attempt": 1, "moment": {...} | null, "outcome": {...} | null,
     "failure": {...} | null}

`moment`, `outcome` and `failure` are the JSON of the records of these names. A follower has events of its own.
The stream holds about the last thousand events and goes with the session.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import redis.asyncio

BEGINNING = "0-0"
"""Id before that of every event."""


async def follow(
    client: redis.asyncio.Redis, session_id: str, last_id: str = BEGINNING
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """(id, event) of every event after the one called `last_id`, as they come.

    Ends after the event with which the session ended, and at once for a session that is not known. A
    `last_id` that is none counts as `BEGINNING`. Raises `StoreUnavailable`.
    """
    yield "", {}
