"""Messages to a client. A client that reads too slowly is disconnected, so that it cannot lag behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

MOST_WAITING = 150
"""Messages, about three seconds of frames. A live picture that is older than that is of no use."""


class Outbox:
    """For the event loop's thread, except `deliver`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[str | bytes] = deque()
        self._changed = asyncio.Event()
        self._closed = False
        self.overfull: asyncio.Future[None] = loop.create_future()
        """Done when the client was too slow, also while a message cannot be sent."""

    @property
    def is_overfull(self) -> bool:
        """Whether the client was too slow."""
        return self.overfull.done()

    def put(self, *messages: str | bytes) -> None:
        """Add messages. After too many of them, and after `close`, they are dropped."""
        if self._closed or self.is_overfull:
            return
        self._waiting.extend(messages)
        if len(self._waiting) > MOST_WAITING:
            self.overfull.set_result(None)
        self._changed.set()

    def deliver(self, messages: Iterable[str | bytes]) -> None:
        """As `put`, from any thread."""
        self._loop.call_soon_threadsafe(self.put, *messages)

    def close(self) -> None:
        """Add no further message to those that wait."""
        self._closed = True
        self._changed.set()

    async def send_to(self, connection: ServerConnection) -> None:
        """Send messages until the end, or until the connection ends."""
        with suppress(ConnectionClosed):
            while (message := await self.next()) is not None:
                await connection.send(message)

    async def next(self) -> str | bytes | None:
        """Wait for the next message; None at the end, or when the client was too slow."""
        while not self._waiting and not self._closed and not self.is_overfull:
            self._changed.clear()
            await self._changed.wait()
        if self.is_overfull or not self._waiting:
            return None
        return self._waiting.popleft()
