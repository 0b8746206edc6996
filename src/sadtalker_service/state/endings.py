"""Waits for the end of sessions and of preparations, for many clients over one connection.

A waiting client costs one future. One task per kind serves all clients, and runs only while there are any.
Sessions have event streams, and one blocking command reads all of them. Avatars have none, so one `MGET`
reads all of them five times per second.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import redis.asyncio

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.state.records import ENDED, slot_of
from sadtalker_service.store.connections import store_errors

LOOK_SECONDS = 0.2
"""Longest delay until a new client is included in the next read."""
_READ_AT_ONCE = 200

Look = Callable[[Sequence[str]], Awaitable[Collection[str]]]
"""Names -> those that have ended. Takes `LOOK_SECONDS` if there are none."""


class Endings:
    """Waits for ends. For the event loop's thread only."""

    def __init__(self, queue: redis.asyncio.Redis) -> None:
        """`queue` returns bytes; at most two of its connections are used."""
        self._queue = queue
        self._seen: dict[str, bytes] = {}
        self._sessions = _Waiters(self._ended_sessions)
        self._avatars = _Waiters(self._ended_avatars)

    @property
    def waiting(self) -> int:
        """Number of waiting clients."""
        return self._sessions.waiting + self._avatars.waiting

    async def session(self, session_id: str, seconds: float, stop: Awaitable[None]) -> None:
        """Return when the session has ended or is unknown, when `stop` returns, or after `seconds`.

        Returns at once if the server does not answer. The caller's next read reports the error.
        """
        await self._sessions.wait(session_id, seconds, stop)

    async def avatar(
        self,
        image_id: str,
        mode: PreprocessMode,
        seconds: float,
        stop: Awaitable[None],
        face_index: int = 0,
    ) -> None:
        """Like `session`, for the preparation of an avatar."""
        await self._avatars.wait(f"avatar:{image_id}:{slot_of(mode, face_index)}", seconds, stop)

    async def _ended_sessions(self, names: Sequence[str]) -> Collection[str]:
        """Sessions that have ended, according to the events after the last one that was read."""
        self._seen = {name: self._seen[name] for name in names if name in self._seen}
        new = [name for name in names if name not in self._seen]
        ended = await self._read_latest(new) if new else set()
        if ended:
            return ended
        streams = {f"events:{name}": self._seen[name] for name in names}
        with store_errors():
            answer: Any = await self._queue.xread(
                streams,  # type: ignore[arg-type]  # a dict is invariant in its values
                count=_READ_AT_ONCE,
                block=round(1000 * LOOK_SECONDS),
            )
        for stream, entries in answer:
            name = stream.decode().removeprefix("events:")
            self._seen[name] = entries[-1][0]
            if any(_is_end(fields) for _, fields in entries):
                ended.add(name)
        return ended

    async def _read_latest(self, names: Sequence[str]) -> set[str]:
        """Those that ended before, or are unknown. For the others the id of the latest event is stored."""
        ended = set()
        with store_errors():
            pipeline = self._queue.pipeline(transaction=False)
            for name in names:
                pipeline.xrevrange(f"events:{name}", count=1)
            answers: list[Any] = await pipeline.execute()
        for name, latest in zip(names, answers, strict=True):
            if not latest or _is_end(latest[0][1]):
                ended.add(name)
            else:
                self._seen[name] = latest[0][0]
        return ended

    async def _ended_avatars(self, names: Sequence[str]) -> Collection[str]:
        with store_errors():
            texts: Any = await self._queue.mget(names)
        known = zip(names, texts, strict=True)
        ended = {name for name, text in known if text is None or json.loads(text)["state"] != "processing"}
        if not ended:
            await asyncio.sleep(LOOK_SECONDS)
        return ended


class _Waiters:
    """Clients by the name they wait for. `look` is called repeatedly while there are any."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    async def wait(self, name: str, seconds: float, stop: Awaitable[None]) -> None:
        """Return when `look` has returned `name`, when `stop` returns, or after `seconds`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, set()).add(future)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        stopped = asyncio.ensure_future(stop)
        try:
            await asyncio.wait({future, stopped}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            self._remove(name, future)

    async def _watch(self) -> None:
        while self._waiting:
            try:
                ended = await self._look(tuple(self._waiting))
            except StoreUnavailable:
                ended = tuple(self._waiting)
            for name in ended:
                for future in self._waiting.pop(name, ()):
                    if not future.done():
                        future.set_result(None)

    def _remove(self, name: str, future: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(name)
        if waiting is None:
            return
        waiting.discard(future)
        if not waiting:
            del self._waiting[name]


def _is_end(fields: dict[bytes, bytes]) -> bool:
    return json.loads(fields[b"data"])["state"] in ENDED
