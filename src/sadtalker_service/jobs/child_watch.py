"""Makes the parent of a worker notice soon that its child has died."""

from __future__ import annotations

from typing import Any

from celery import bootsteps

LOOK_SECONDS = 0.25


class ChildWatch(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Looks after the pool's processes four times a second.

    The pool is told by the kernel when a child closes its files, which is a moment before it is dead; if it
    looks in that moment it sees a living child, and does not look again before 5 s have passed.
    """

    requires = ("celery.worker.components:Pool",)

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Called by Celery before its loop begins."""
        hub.call_repeatedly(LOOK_SECONDS, worker.pool.maintain_pool)
