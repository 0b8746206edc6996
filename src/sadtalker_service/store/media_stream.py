"""Streams a video from the worker that renders it to clients that are already watching.

There is one Redis stream per attempt of a session. Entry n has the id n-0, so that a reader detects a missing
entry. The stream is lost with the cache server. Then the clients cannot watch, but the video is still
rendered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import redis
from redis.asyncio import Redis as AsyncRedis

KEPT_SECONDS = 600.0
"""How long a stream is kept after its last piece."""
_BLOCK_MS = 500
"""How long a reader blocks for the next piece. It is below every timeout of a connection."""
_PIECES = 16
"""Largest number of pieces read at once."""
_DATA, _END = b"data", b"end"
_WHOLE, _BROKEN = b"whole", b"broken"


class StreamBroken(OSError):
    """The stream ended before the video did, or its server is unreachable."""


class MediaStream:
    """Writes a stream. A context manager that marks the stream as complete on success, else as broken."""

    def __init__(
        self,
        client: redis.Redis,
        session_id: str,
        attempt: int,
        image_id: str,
        on_first: Callable[[], None] = lambda: None,
    ) -> None:
        """`client` is that of the cache. `on_first` is called after the first piece was sent.

        `image_id` names the source image in the video, so that deleting it also finds the stream. Nothing is
        sent before the first piece.
        """
        self._client = client
        self._key = stream_key(session_id, attempt)
        self._index = streams_key(image_id)
        self._on_first = on_first
        self._pieces = 0

    def write(self, data: bytes, /) -> int:
        """Send a piece.

        Readers receive the pieces as written: first the initialisation segment, then fragment by fragment.
        Raises `StreamBroken`, also for all later pieces.
        """
        self._add(_DATA, bytes(data))
        if self._pieces == 1:
            self._on_first()
        return len(data)

    def __enter__(self) -> Self:
        """Return the stream itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send the end. An unreachable server no longer matters."""
        try:
            self._add(_END, _WHOLE if kind is None else _BROKEN)
        except StreamBroken:
            return

    def _add(self, field: bytes, value: bytes) -> None:
        """Add one entry. If it fails, the next id leaves a gap, which readers detect."""
        self._pieces += 1
        try:
            pipe = self._client.pipeline(transaction=False)
            # An evicted stream must not restart in the middle.
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
    """The pieces of a stream from its start, as they arrive. The initialisation segment comes first, alone.

    Args:
        client: that of the cache.
        session_id: the session.
        attempt: the attempt of the session.
        is_coming: called after every half second without a piece. Returns whether more may come.

    Raises:
        StreamBroken: the attempt failed, its worker died, a piece is missing, or the server is unreachable.
    """
    key, last = stream_key(session_id, attempt), 0
    while True:
        entries = await _next_entries(client, key, last)
        if not entries and not await is_coming():
            raise StreamBroken("the video is no longer being rendered")
        for number, fields in entries:
            if number != last + 1:
                raise StreamBroken("a piece of the stream is missing")
            last = number
            if _END in fields:
                if fields[_END] != _WHOLE:
                    raise StreamBroken("rendering of the video ended early")
                return
            yield fields[_DATA]


def stream_key(session_id: str, attempt: int) -> str:
    """Key of a stream on the cache server."""
    return f"media:{session_id}:{attempt}"


def streams_key(image_id: str) -> str:
    """Key of the set of all streams that show a source image."""
    return f"streams:{image_id}"


async def _next_entries(client: AsyncRedis, key: str, last: int) -> list[tuple[int, dict[bytes, bytes]]]:
    try:
        found: Any = await client.xread({key: f"{last}-0"}, count=_PIECES, block=_BLOCK_MS)
    except redis.RedisError as error:
        raise StreamBroken(str(error)) from error
    if not found:
        return []
    # RESP2 returns a list of [key, entries], RESP3 a dictionary of key -> [entries].
    entries = next(iter(found.values()))[0] if isinstance(found, dict) else found[0][1]
    return [(int(name.split(b"-")[0]), fields) for name, fields in entries]
