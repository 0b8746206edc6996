"""Short calls to the stores, made in threads: the loop goes on serving others meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import to_thread

THREADS = 64
"""At once. A call takes a millisecond; only when a store hangs are many of them needed."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def in_thread(
    call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """What `call` gives, or raises."""
    return await to_thread.run_sync(partial(call, *args, **kwargs))


def allow_threads() -> None:
    """Let so many calls run at once, also those of routes that are plain functions. For the loop's thread."""
    to_thread.current_default_thread_limiter().total_tokens = THREADS
