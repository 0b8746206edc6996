"""A worker: a light parent that takes messages and watches, and one child that keeps the engine warm.

The parent never waits for a job, so it notices at once if its child dies or hangs, or if the worker must shut
down. While a job runs, the parent communicates with the child through `SharedState`.
"""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from billiard.util import get_logger
from celery import signals
from celery.exceptions import SecurityWarning

from sadtalker_service.engines.registry import check_engine
from sadtalker_service.errors import EngineUnavailable, InvalidOption, StoreUnavailable, TimeLimitExceeded
from sadtalker_service.jobs.celery_app import make_app
from sadtalker_service.jobs.dispatch import CeleryDispatch, send_waiting
from sadtalker_service.jobs.queues import AGAIN, NORMAL, QUEUES, VIP
from sadtalker_service.jobs.stores import Stores
from sadtalker_service.jobs.time_limit import too_long
from sadtalker_service.settings import Settings
from sadtalker_service.state.failures import failure_of
from sadtalker_service.state.retry import best_effort
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.telemetry import metrics
from sadtalker_service.telemetry.logs import configure_logging
from sadtalker_service.worker.celery_steps import AcknowledgementWatch, ChildWatch
from sadtalker_service.worker.process import WorkerChild
from sadtalker_service.worker.shared_state import SharedState
from sadtalker_service.worker.tasks import register_tasks

log = structlog.get_logger(__name__)


def run_worker(settings: Settings, queues: Sequence[str], name: str | None = None) -> int:
    """Work until SIGTERM or SIGINT, and return the exit code of the process.

    `queues` are some of `vip`, `normal`, `prepare`. `name` must be unique among the running workers of this
    machine. If a restarted worker reuses its name, a job that died with it starts again as soon as the worker
    is back.

    On SIGTERM no more jobs are taken. The running job is finished, or handed back to the queue after
    `shutdown_grace_seconds`; a second SIGTERM hands it back at once. Raises `InvalidOption` for an unknown
    queue, and `EngineUnavailable` if the engine cannot be loaded.
    """
    configure_logging(settings, "worker")
    chosen = _chosen(queues)
    check_engine(settings.engine, settings)  # fail before anything is started
    worker = f"{name or f'worker-{os.getpid()}'}@{socket.gethostname()}"
    app, shared = make_app(settings), SharedState()
    stores = Stores(settings)
    monitor = Keeper(worker, stores.sessions, CeleryDispatch(app, settings), shared)
    child = WorkerChild(settings, worker, chosen, shared, app)
    register_tasks(app, child.handler, monitor)
    app.steps["worker"].update((ChildWatch, AcknowledgementWatch))
    with _Signals(shared, settings.shutdown_grace_seconds, child), warnings.catch_warnings():
        # Celery warns about workers run by root because of pickled messages, which this worker never reads
        warnings.simplefilter("ignore", SecurityWarning)
        monitor.child_lost()  # requeue what a worker of this name had started before it died
        celery = app.Worker(
            hostname=worker,
            queues=chosen,
            # workers do not need to know about each other
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        celery.start()
    best_effort(lambda: stores.workers.leave(worker))
    if shared.broken:
        raise EngineUnavailable("The worker could not load its engine. See its log.")
    return int(celery.exitcode or 0)


@dataclass(frozen=True)
class Keeper:
    """Handles jobs whose process ended before they did.

    If the store is unreachable, that is logged: the janitor finds these jobs too, a little later.
    """

    worker: str
    sessions: SessionStore
    dispatch: CeleryDispatch
    shared: SharedState

    def child_lost(self) -> None:
        """The process that worked under this worker's name is dead: put its job back into the queue."""
        self.shared.attempt = 0
        try:
            for session_id in self.sessions.running():
                session = self.sessions.requeue(session_id, worker=self.worker)
                if session is not None:
                    log.warning("job_lost", session_id=session_id, attempt=session.attempt)
                    metrics.job_requeued("child_lost")
                    self.dispatch.generate(session)
            send_waiting(self.sessions, self.dispatch)
        except StoreUnavailable as error:
            log.warning("job_not_requeued", reason=error.message)

    def time_is_up(self, session_id: str, limit: float) -> None:
        """The job has exceeded its time limit: fail it without another attempt."""
        attempt, self.shared.attempt = self.shared.attempt, 0
        log.warning("job_too_long", session_id=session_id, attempt=attempt, limit=limit)
        try:
            ended = self.sessions.fail(session_id, attempt, failure_of(too_long(limit)))
            session = self.sessions.get(session_id) if ended else None
            if session is not None:
                metrics.job_ended(session.lane, "failed", TimeLimitExceeded.code)
        except StoreUnavailable as error:
            log.warning("job_not_failed", session_id=session_id, reason=error.message)


class _Signals:
    """Context manager that connects Celery's signals to this worker."""

    def __init__(self, shared: SharedState, grace: float, child: WorkerChild) -> None:
        self._shared = shared
        self._grace = grace
        self._child = child

    def __enter__(self) -> None:
        # without a receiver, Celery would set up its own logging handlers
        signals.setup_logging.connect(_keep_logging, weak=False)
        signals.worker_process_init.connect(self._child.set_up, weak=False)
        signals.worker_shutting_down.connect(self._shut_down, weak=False)

    def __exit__(self, *_: object) -> None:
        signals.setup_logging.disconnect(_keep_logging)
        signals.worker_process_init.disconnect(self._child.set_up)
        signals.worker_shutting_down.disconnect(self._shut_down)

    def _shut_down(self, **_: object) -> None:
        """Called in the parent, inside the handler of SIGTERM or SIGINT."""
        now = time.monotonic()
        self._shared.stop_at(now if self._shared.stopping else now + self._grace)


def _keep_logging(**_: object) -> None:
    """Make Celery's process pool use the logging that is already set up."""
    get_logger().propagate = True


def _chosen(queues: Sequence[str]) -> list[str]:
    unknown = [queue for queue in queues if queue not in QUEUES]
    if unknown or not queues:
        raise InvalidOption(
            f"There is no queue called {unknown[0]!r}. The queues are vip, normal and prepare."
            if unknown
            else "A worker needs at least one queue: vip, normal or prepare.",
            param="queues",
        )
    renders = any(queue in {VIP, NORMAL} for queue in queues)
    return list(dict.fromkeys([*([AGAIN] if renders else []), *queues]))
