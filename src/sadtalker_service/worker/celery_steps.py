"""What the parent of a worker looks at again and again, because Celery alone notices it late or never."""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery import bootsteps
from celery.worker import state
from redis.exceptions import ConnectionError as NoConnection

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.25
_STUCK_SECONDS = 1.0


class ChildWatch(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Looks after the pool's processes four times a second.

    The pool is told by the kernel when a child closes its files, which is a moment before it is dead; if it
    looks in that moment it sees a living child, and does not look again before 5 s have passed.
    """

    requires = ("celery.worker.components:Pool",)

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Called by Celery when it has connected, before its loop begins."""
        hub.call_repeatedly(LOOK_SECONDS, worker.pool.maintain_pool)


class AcknowledgementWatch(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Connects anew after a message could not be acknowledged.

    When the queue server is away at the moment in which a job ends, kombu logs that and leaves the message
    counted as unacknowledged. With one message at a time that is one too many: the worker would never ask for
    another. A new connection counts from the beginning. The old message comes again one day, and is void.
    """

    requires = ("celery.worker.components:Pool",)  # the consumer must stay the last step: it never returns

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Called by Celery when it has connected, before its loop begins."""
        self._stuck_since: float | None = None
        hub.call_repeatedly(LOOK_SECONDS, self._look, worker)

    def _look(self, worker: Any) -> None:
        """An error of the connection, raised here, makes Celery connect anew."""
        consumer, now = worker.consumer.task_consumer, time.monotonic()
        if consumer is None or state.reserved_requests or consumer.channel.qos.can_consume():
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > _STUCK_SECONDS:
            log.warning("message_not_acknowledged", consequence="connects anew")
            raise NoConnection("A message could not be acknowledged.")
