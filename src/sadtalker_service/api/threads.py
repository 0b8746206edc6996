"""Runs short store calls in threads, so that the event loop keeps serving other clients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import to_thread

THREADS = 64
"""Maximum at once. A call takes a millisecond; many threads are needed only if a store hangs."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def in_thread(
    call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Return or raise what `call` does."""
    return await to_thread.run_sync(partial(call, *args, **kwargs))


def allow_threads() -> None:
    """Allow `THREADS` calls at once, including routes that are plain functions. For the loop's thread."""
    to_thread.current_default_thread_limiter().total_tokens = THREADS
