"""The threads in which short store calls run, so that the event loop keeps serving other clients."""

from __future__ import annotations

from anyio import to_thread

THREADS = 64
"""Maximum at once. A call takes a millisecond; many threads are needed only if a store hangs."""


def allow_threads() -> None:
    """Allow `THREADS` calls at once, including routes that are plain functions. For the loop's thread."""
    to_thread.current_default_thread_limiter().total_tokens = THREADS
