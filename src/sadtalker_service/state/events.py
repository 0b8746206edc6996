"""The events of a session, in order, as a stream that can be read again from any point.

The scripts append an event at every change of state, and at most five per second for progress:

    {"state": "generating", "at": 1700000000.1, "attempt": 1, "moment": {...} | null, "outcome": {...} | null,
     "failure": {...} | null}

`moment`, `outcome` and `failure` are the JSON of the session's fields with these names. A waiter has its own
events. The stream keeps about the last thousand events and is deleted with the session.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import redis.asyncio

from sadtalker_service.state.records import ENDED
from sadtalker_service.store.connections import LONGEST_BLOCK_SECONDS, store_errors

BEGINNING = "0-0"
"""Id before every event."""

_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")
"""Milliseconds since 1970, and a number that distinguishes events of one millisecond; both below 2^64."""
_READ_AT_ONCE = 200

Event = dict[str, Any]


async def subscribe(
    client: redis.asyncio.Redis,
    session_id: str,
    last_id: str = BEGINNING,
    *,
    wait_seconds: float = LONGEST_BLOCK_SECONDS,
) -> AsyncIterator[tuple[str, Event]]:
    """(id, event) of every event after `last_id`, as they arrive.

    Ends after the last event of the session, and at once for an unknown session. An invalid `last_id` counts
    as `BEGINNING`. While no event arrives, the server is asked every `wait_seconds` whether the session still
    exists. Raises `StoreUnavailable`.
    """
    stream = f"events:{session_id}"
    last = last_id if _ID.fullmatch(last_id) else BEGINNING
    wait_ms: int | None = None  # existing events arrive without waiting
    while True:
        events = await _read(client, stream, last, wait_ms)
        for last, event in events:
            yield last, event
            if event["state"] in ENDED:
                return
        if not events and await _is_over(client, stream, last):
            return
        wait_ms = round(1000 * wait_seconds)


async def _read(
    client: redis.asyncio.Redis, stream: str, after: str, wait_ms: int | None
) -> list[tuple[str, Event]]:
    with store_errors():
        answer: Any = await client.xread({stream: after}, count=_READ_AT_ONCE, block=wait_ms)
    return [(name.decode(), json.loads(fields[b"data"])) for _, entries in answer for name, fields in entries]


async def _is_over(client: redis.asyncio.Redis, stream: str, after: str) -> bool:
    """Whether no more events come: the session is deleted, or its last event is not after `after`."""
    with store_errors():
        latest: Any = await client.xrevrange(stream, count=1)
    if not latest:
        return True
    name, fields = latest[0]
    over: bool = json.loads(fields[b"data"])["state"] in ENDED
    return over and _number(name.decode()) <= _number(after)


def _number(name: str) -> tuple[int, int]:
    milliseconds, counter = name.split("-")
    return int(milliseconds), int(counter)
