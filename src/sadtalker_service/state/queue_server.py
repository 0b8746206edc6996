"""Access to the queue server for the stores of this folder: commands and scripts, with one error class."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
    """Sends commands and scripts. Every method raises `StoreUnavailable` if the server does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        """`client` returns bytes (`decode_responses=False`)."""
        self.client = client

    def script(self, name: str, *arguments: Argument) -> Any:
        """Run `scripts/{name}.lua` and return its result."""
        text, digest = _script(name)
        with store_errors():
            try:
                return self.client.execute_command("EVALSHA", digest, 0, *arguments)  # type: ignore[no-untyped-call]
            except NoScriptError:  # first use, or the server was restarted
                return self.client.execute_command("EVAL", text, 0, *arguments)  # type: ignore[no-untyped-call]

    def named_script(self, name: str, **arguments: Argument) -> Any:
        """Run a script with many arguments. It gets them by name, as one JSON object of texts."""
        return self.script(name, _named(arguments))

    def command(self, *words: Argument) -> Any:
        """Run one command, e.g. `command("ZCARD", "waiting:vip")`."""
        with store_errors():
            return self.client.execute_command(*words)  # type: ignore[no-untyped-call]

    def commands(self, *commands: Sequence[Argument]) -> list[Any]:
        """Run several commands in one round trip and as one transaction."""
        with store_errors():
            pipeline = self.client.pipeline(transaction=True)
            for words in commands:
                pipeline.execute_command(*words)  # type: ignore[no-untyped-call]
            return list(pipeline.execute())


class AsyncQueueServer:
    """The part of `QueueServer` that asyncio code needs. Every method raises `StoreUnavailable`."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        """`client` returns bytes."""
        self.client = client

    async def script(self, name: str, *arguments: Argument) -> Any:
        """As in `QueueServer`."""
        text, digest = _script(name)
        with store_errors():
            try:
                return await self.client.execute_command("EVALSHA", digest, 0, *arguments)  # type: ignore[no-untyped-call]
            except NoScriptError:
                return await self.client.execute_command("EVAL", text, 0, *arguments)  # type: ignore[no-untyped-call]

    async def command(self, *words: Argument) -> Any:
        """As in `QueueServer`."""
        with store_errors():
            return await self.client.execute_command(*words)  # type: ignore[no-untyped-call]


def _named(arguments: Mapping[str, Argument]) -> str:
    """JSON of texts only. As numbers, cjson would round them to fourteen digits."""
    texts = {
        name: value.decode() if isinstance(value, bytes) else str(value) for name, value in arguments.items()
    }
    return json.dumps(texts, ensure_ascii=False)


@lru_cache
def _script(name: str) -> tuple[str, str]:
    """Text of a script and its SHA-1. The server keeps scripts by SHA-1, so usually only that is sent."""
    text = scripts.source(name)
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()
