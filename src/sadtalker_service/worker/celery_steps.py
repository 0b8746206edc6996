"""Periodic checks in a worker's parent process, for what Celery alone notices late or never."""

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
    """Checks the pool's processes four times a second.

    The kernel notifies the pool when a child closes its files, which is a moment before the child is dead. If
    the pool looks at that moment, it sees a living child and does not look again for 5 s.
    """

    requires = ("celery.worker.components:Pool",)

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Called by Celery after it has connected, before its loop starts."""
        hub.call_repeatedly(LOOK_SECONDS, worker.pool.maintain_pool)


class AcknowledgementWatch(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Reconnects after a message could not be acknowledged.

    If the queue server is unreachable when a job ends, kombu logs that and still counts the message as
    unacknowledged. With a prefetch of one message, the worker would never fetch another. A new connection
    starts counting at zero. The old message is delivered again later, and is then void.
    """

    requires = ("celery.worker.components:Pool",)  # the consumer must stay the last step: it never returns

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Called by Celery after it has connected, before its loop starts."""
        self._stuck_since: float | None = None
        hub.call_repeatedly(LOOK_SECONDS, self._look, worker)

    def _look(self, worker: Any) -> None:
        """Raise a connection error if a message is stuck; that makes Celery reconnect."""
        consumer, now = worker.consumer.task_consumer, time.monotonic()
        if consumer is None or state.reserved_requests or consumer.channel.qos.can_consume():
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > _STUCK_SECONDS:
            log.warning("message_not_acknowledged", consequence="connects again")
            raise NoConnection("A message could not be acknowledged.")
