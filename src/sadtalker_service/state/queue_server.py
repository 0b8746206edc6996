"""The queue's server as the stores of this folder see it: commands, scripts, one error for all failures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha1
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import NoScriptError

from sadtalker_service.state import scripts
from sadtalker_service.store.connections import store_errors

Argument = str | bytes | int | float


class QueueServer:
    """Sends commands and scripts. Every method raises `StoreUnavailable` where the server does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        """`client` gives bytes (`decode_responses=False`)."""
        self.client = client

    def script(self, name: str, *arguments: Argument) -> Any:
        """What the script `scripts/{name}.lua` returns for `arguments`."""
        text, digest = _script(name)
        with store_errors():
            try:
                return self.client.execute_command("EVALSHA", digest, 0, *arguments)  # type: ignore[no-untyped-call]
            except NoScriptError:  # first use, or the server was started again
                return self.client.execute_command("EVAL", text, 0, *arguments)  # type: ignore[no-untyped-call]

    def command(self, *words: Argument) -> Any:
        """What one command answers, e.g. `command("ZCARD", "waiting:vip")`."""
        with store_errors():
            return self.client.execute_command(*words)  # type: ignore[no-untyped-call]

    def commands(self, *commands: Sequence[Argument]) -> list[Any]:
        """What several commands answer, sent in one round trip and done without others between them."""
        with store_errors():
            pipeline = self.client.pipeline(transaction=True)
            for words in commands:
                pipeline.execute_command(*words)  # type: ignore[no-untyped-call]
            return list(pipeline.execute())


class AsyncQueueServer:
    """The part of `QueueServer` that is needed from asyncio. Every method raises `StoreUnavailable`."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        """`client` gives bytes."""
        self.client = client

    async def script(self, name: str, *arguments: Argument) -> Any:
        """As that of `QueueServer`."""
        text, digest = _script(name)
        with store_errors():
            try:
                return await self.client.execute_command("EVALSHA", digest, 0, *arguments)  # type: ignore[no-untyped-call]
            except NoScriptError:
                return await self.client.execute_command("EVAL", text, 0, *arguments)  # type: ignore[no-untyped-call]

    async def command(self, *words: Argument) -> Any:
        """As that of `QueueServer`."""
        with store_errors():
            return await self.client.execute_command(*words)  # type: ignore[no-untyped-call]


@lru_cache
def _script(name: str) -> tuple[str, str]:
    """Text of a script, and the name by which the server keeps it: 40 bytes to send instead of the text."""
    text = scripts.source(name)
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()
