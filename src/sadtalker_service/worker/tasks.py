"""The two Celery tasks. They are thin wrappers around `render_job.py` and `prepare_job.py`."""

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
    """Runs the tasks, in the child process."""

    def make(self, session_id: str) -> None:
        """Make the video of a session."""

    def prepare(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        """Prepare an avatar."""


class WorkerMonitor(Protocol):
    """Handles the end of a child, in the parent process. Neither method raises."""

    def child_lost(self) -> None:
        """Called if the child died in the middle of a task."""

    def time_is_up(self, session_id: str, limit: float) -> None:
        """Called if the child is killed because a session took longer than `limit` seconds."""


def register_tasks(app: Celery, handler: Callable[[], TaskHandler | None], monitor: WorkerMonitor) -> None:
    """Register the tasks with a worker's Celery application.

    `handler` returns None in a child that could not be set up. Its messages go back to the queue.
    """

    def generate(session_id: str) -> None:
        with _at_work():
            _ready(handler()).make(session_id)

    def prepare(image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        with _at_work():
            _ready(handler()).prepare(image_id, mode, face_index)

    app.task(generate, name=GENERATE_TASK, Request=_watched(monitor))
    app.task(prepare, name=PREPARE_TASK)


def _ready(handler: TaskHandler | None) -> TaskHandler:
    if handler is None:
        raise Reject(reason="this worker has no engine", requeue=True)
    return handler


@contextmanager
def _at_work() -> Iterator[None]:
    """Context manager that ignores SIGTERM, which may go to the whole process group.

    The parent receives it too, and makes sure that the job is finished or handed back.
    """
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _watched(monitor: WorkerMonitor) -> type[Request]:
    """Return the request class of the parent process; it reports to `monitor` how a child ended."""

    class WatchedRequest(Request):  # type: ignore[misc]  # Celery has no types
        def on_failure(
            self, exc_info: object, send_failed_event: bool = True, return_ok: bool = False
        ) -> object:
            error = getattr(exc_info, "exception", None)
            if isinstance(getattr(error, "exc", error), WorkerLostError):
                monitor.child_lost()
            return super().on_failure(exc_info, send_failed_event, return_ok)

        def on_timeout(self, soft: bool, timeout: float) -> object:
            if not soft:
                monitor.time_is_up(str(self.args[0]), timeout)
            return super().on_timeout(soft, timeout)

    return WatchedRequest
