"""A video on its way from the worker that makes it to whoever watches already.

One Redis stream per attempt of a session; entry n has the id n-0, so that a reader notices when one is
missing. Lost with the cache's server: then nobody watches, and the video is made all the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import redis
from redis.asyncio import Redis as AsyncRedis

KEPT_SECONDS = 600.0
"""How long a stream is kept after its last piece, seconds."""
_BLOCK_MS = 500
"""How long a reader waits at the server for the next piece; below every timeout of a connection."""
_PIECES = 16
"""Most pieces read at once."""
_DATA, _END = b"data", b"end"
_WHOLE, _BROKEN = b"whole", b"broken"


class StreamBroken(OSError):
    """The stream ended before the video did, or its server is away."""


class MediaStream:
    """The writing end. As a block, it ends the stream: as whole if the block ends well, else as broken."""

    def __init__(self, client: redis.Redis, session_id: str, attempt: int, image_id: str) -> None:
        """`client` is that of the cache; `image_id` names the portrait that is seen: who deletes it finds the
        stream by that. Nothing is sent before the first piece."""
        self._client = client
        self._key = stream_key(session_id, attempt)
        self._index = streams_key(image_id)
        self._pieces = 0

    def write(self, data: bytes, /) -> int:
        """Send a piece. Readers get the pieces as they were written: first the initialisation segment, then
        fragment by fragment. Raises `StreamBroken`, and so for every piece after it."""
        self._add(_DATA, bytes(data))
        return len(data)

    def __enter__(self) -> Self:
        """The stream itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send the end. A server that is away does not matter any more."""
        try:
            self._add(_END, _WHOLE if kind is None else _BROKEN)
        except StreamBroken:
            return

    def _add(self, field: bytes, value: bytes) -> None:
        """One entry. After an entry that failed the next id would leave a gap: readers would notice."""
        self._pieces += 1
        try:
            pipe = self._client.pipeline(transaction=False)
            # a stream that was evicted must not begin again in its middle
            pipe.xadd(self._key, {field: value}, id=f"{self._pieces}-0", nomkstream=self._pieces > 1)
            pipe.expire(self._key, round(KEPT_SECONDS))
            if self._pieces == 1:
                pipe.sadd(self._index, self._key)
            pipe.expire(self._index, round(KEPT_SECONDS))
            added, *_ = pipe.execute()
        except redis.RedisError as error:
            raise StreamBroken(str(error)) from error
        if added is None:
            raise StreamBroken("the stream was evicted from the cache")


async def read_media(
    client: AsyncRedis,
    session_id: str,
    attempt: int,
    *,
    is_coming: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """The pieces of a stream from its start, as they come: first the initialisation segment by itself.

    Args:
        client: that of the cache.
        session_id: of which session.
        attempt: of which of its attempts.
        is_coming: asked after every half second without a piece: whether it is worth while to wait on.

    Raises:
        StreamBroken: the attempt failed, its worker died, a part is missing, or the server is away.
    """
    key, last = stream_key(session_id, attempt), 0
    while True:
        entries = await _next_entries(client, key, last)
        if not entries and not await is_coming():
            raise StreamBroken("the video is not being made any more")
        for number, fields in entries:
            if number != last + 1:
                raise StreamBroken("a part of the stream is missing")
            last = number
            if _END in fields:
                if fields[_END] != _WHOLE:
                    raise StreamBroken("the making of the video ended early")
                return
            yield fields[_DATA]


def stream_key(session_id: str, attempt: int) -> str:
    """Key of a stream on the cache's server."""
    return f"media:{session_id}:{attempt}"


def streams_key(image_id: str) -> str:
    """Key of the set of all streams in which a portrait is seen."""
    return f"streams:{image_id}"


async def _next_entries(client: AsyncRedis, key: str, last: int) -> list[tuple[int, dict[bytes, bytes]]]:
    try:
        found: Any = await client.xread({key: f"{last}-0"}, count=_PIECES, block=_BLOCK_MS)
    except redis.RedisError as error:
        raise StreamBroken(str(error)) from error
    if not found:
        return []
    # a list of [key, entries] in RESP2, a dictionary of key -> [entries] in RESP3
    entries = next(iter(found.values()))[0] if isinstance(found, dict) else found[0][1]
    return [(int(name.split(b"-")[0]), fields) for name, fields in entries]
