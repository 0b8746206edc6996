"""The two tasks that workers know. They are thin: what they do is in `making.py` and `preparing.py`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog
from billiard.exceptions import WorkerLostError
from celery import Celery
from celery.exceptions import Reject
from celery.worker.request import Request

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.jobs.queues import GENERATE_TASK, PREPARE_TASK

log = structlog.get_logger(__name__)


class TaskHandler(Protocol):
    """Who does the tasks, in the child process."""

    def make(self, session_id: str) -> None:
        """Make the video of a session."""

    def prepare(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        """Prepare an avatar."""


class WorkerMonitor(Protocol):
    """Who looks after the child, in the parent process. Neither method raises."""

    def child_lost(self) -> None:
        """The child died in the middle of a task."""

    def time_is_up(self, session_id: str, limit: float) -> None:
        """The child is being killed because it has worked on a session for longer than `limit` seconds."""


def register_tasks(app: Celery, hands: Callable[[], TaskHandler | None], guardian: WorkerMonitor) -> None:
    """Make the tasks known to the application of a worker.

    `hands` gives None in a child that could not be set up: it lets its messages go back into the queue.
    """

    def generate(session_id: str) -> None:
        with _at_work():
            _ready(hands()).make(session_id)

    def prepare(image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        with _at_work():
            _ready(hands()).prepare(image_id, mode, face_index)

    app.task(generate, name=GENERATE_TASK, Request=_watched(guardian))
    app.task(prepare, name=PREPARE_TASK)


def _ready(hands: TaskHandler | None) -> TaskHandler:
    if hands is None:
        raise Reject(reason="this worker has no engine", requeue=True)
    return hands


@contextmanager
def _at_work() -> Iterator[None]:
    """A SIGTERM to a whole group of processes must not end a job: the parent hears it too, and sees to it
    that the job is finished or handed back."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _watched(guardian: WorkerMonitor) -> type[Request]:
    """Celery's request, as the parent process sees it, that tells `guardian` how a child ended."""

    class WatchedRequest(Request):  # type: ignore[misc]  # Celery has no types
        def on_failure(
            self, exc_info: object, send_failed_event: bool = True, return_ok: bool = False
        ) -> object:
            error = getattr(exc_info, "exception", None)
            if isinstance(getattr(error, "exc", error), WorkerLostError):
                guardian.child_lost()
            return super().on_failure(exc_info, send_failed_event, return_ok)

        def on_timeout(self, soft: bool, timeout: float) -> object:
            if not soft:
                guardian.time_is_up(str(self.args[0]), timeout)
            return super().on_timeout(soft, timeout)

    return WatchedRequest
