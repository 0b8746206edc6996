"""The child process of a worker: opens its stores and engine, then runs one task after another."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

import structlog
from celery import Celery

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.jobs.dispatch import CeleryDispatch
from sadtalker_service.settings import Settings
from sadtalker_service.state.retry import retry_while_unavailable
from sadtalker_service.worker.context import WorkerContext
from sadtalker_service.worker.heartbeat import Heartbeat
from sadtalker_service.worker.prepare_job import PrepareJob
from sadtalker_service.worker.render_job import RenderJob
from sadtalker_service.worker.shared_state import SharedState

log = structlog.get_logger(__name__)


class WorkerTasks:
    """Runs tasks, and reports the worker as busy meanwhile."""

    def __init__(self, context: WorkerContext, heartbeat: Heartbeat) -> None:
        self._shared = context.shared
        self._heartbeat = heartbeat
        self._render_job = RenderJob(context)
        self._prepare_job = PrepareJob(context)

    def make(self, session_id: str) -> None:
        """Make the video of a session."""
        with self._busy(session_id):
            self._render_job.make(session_id)

    def prepare(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        """Prepare an avatar."""
        with self._busy(None):
            self._prepare_job.prepare(image_id, mode, face_index)

    @contextmanager
    def _busy(self, session_id: str | None) -> Iterator[None]:
        try:
            with self._heartbeat.busy(session_id):
                yield
        finally:
            self._shared.attempt = 0


class WorkerChild:
    """Created by the parent before the fork; opens its engine and stores in the child."""

    def __init__(
        self, settings: Settings, worker: str, queues: Sequence[str], shared: SharedState, app: Celery
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._queues = tuple(queues)
        self._shared = shared
        self._app = app
        self._tasks: WorkerTasks | None = None

    def handler(self) -> WorkerTasks | None:
        """The task handler; None before the set-up, and if that failed."""
        return self._tasks

    def set_up(self, **_: object) -> None:
        """Load the engine and open the stores; receiver of Celery's `worker_process_init`.

        If that fails, the whole worker is stopped: a new child would fail the same way.
        """
        with _EndsTheWorker(self._shared):
            deaths = self._shared.begin_set_up()
            if deaths >= self._settings.max_attempts:
                raise EngineUnavailable(f"The process died {deaths} times while it loaded the engine.")
            self._tasks = self._open()
            self._shared.end_set_up()
            log.info("worker_ready", worker=self._worker, queues=self._queues)

    def _open(self) -> WorkerTasks:
        dispatch = CeleryDispatch(self._app, self._settings)
        context = WorkerContext(self._settings, self._worker, dispatch, self._shared)
        context.artefacts, context.scratch, context.marker  # noqa: B018  opened now, so that errors show at the start
        heartbeat = Heartbeat(context.workers, self._worker, self._queues, lambda: self._shared.stopping)
        heartbeat.start()
        engines = context.loaded
        retry_while_unavailable(engines.publish)
        heartbeat.warm(engines.default.name, engines.publish, engines.obstacles)
        return WorkerTasks(context, heartbeat)


class _EndsTheWorker:
    """Context manager that logs an error of its body and then sends the parent a SIGTERM."""

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        log.error("worker_not_set_up", exc_info=error)
        self._shared.break_down()
        os.kill(os.getppid(), signal.SIGTERM)
        return True
