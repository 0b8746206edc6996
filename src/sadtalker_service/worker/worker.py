"""A worker: a light parent that takes messages and watches, and one child that keeps the engine warm.

The parent never waits for the work, so it notices at once when its child dies, hangs, or is to be shut down.
What it says to the child while a job runs goes through `SharedState`.
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
    """Work until SIGTERM or SIGINT; the exit code of the process.

    `queues` are some of `vip`, `normal`, `prepare`. `name` must be unique among the workers of this machine
    that live; with a name that is used again after a restart, a job whose worker died is begun again as soon
    as the worker is back.

    On SIGTERM no more jobs are taken; the running one is finished, or handed back to the queue after
    `shutdown_grace_seconds`, at once on a second SIGTERM. Raises `InvalidOption` for a queue that there is
    not, and `EngineUnavailable` where the engine cannot be loaded.
    """
    configure_logging(settings, "worker")
    chosen = _chosen(queues)
    check_engine(settings.engine, settings)  # before anything is started: it will never load
    worker = f"{name or f'worker-{os.getpid()}'}@{socket.gethostname()}"
    app, shared = make_app(settings), SharedState()
    stores = Stores(settings)
    keeper = Keeper(worker, stores.sessions, CeleryDispatch(app, settings), shared)
    child = WorkerChild(settings, worker, chosen, shared, app)
    register_tasks(app, child.hands, keeper)
    app.steps["worker"].update((ChildWatch, AcknowledgementWatch))
    with _Signals(shared, settings.shutdown_grace_seconds, child), warnings.catch_warnings():
        # Celery warns of workers run by root for the sake of pickled messages, which are not read here
        warnings.simplefilter("ignore", SecurityWarning)
        keeper.child_lost()  # what a worker of this name had begun before it died
        celery = app.Worker(
            hostname=worker,
            queues=chosen,
            # workers need not know each other: nobody counts, greets or elects anybody
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        celery.start()
    best_effort(lambda: stores.workers.leave(worker))
    if shared.broken:
        raise EngineUnavailable("The worker could not load its engine; its log says why.")
    return int(celery.exitcode or 0)


@dataclass(frozen=True)
class Keeper:
    """Looks after what becomes of jobs whose process ends before they do. A store that is away is logged: the
    janitor finds these jobs too, a little later."""

    worker: str
    sessions: SessionStore
    dispatch: CeleryDispatch
    shared: SharedState

    def child_lost(self) -> None:
        """The process that worked under the name of this worker is dead: its job goes back to the queue."""
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
        """The job has taken longer than it may; it is not tried again."""
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
    """As a block: connects what Celery tells its processes with those who want to know."""

    def __init__(self, shared: SharedState, grace: float, child: WorkerChild) -> None:
        self._shared = shared
        self._grace = grace
        self._child = child

    def __enter__(self) -> None:
        # without a receiver Celery would set up handlers of its own
        signals.setup_logging.connect(_keep_logging, weak=False)
        signals.worker_process_init.connect(self._child.set_up, weak=False)
        signals.worker_shutting_down.connect(self._shut_down, weak=False)

    def __exit__(self, *_: object) -> None:
        signals.setup_logging.disconnect(_keep_logging)
        signals.worker_process_init.disconnect(self._child.set_up)
        signals.worker_shutting_down.disconnect(self._shut_down)

    def _shut_down(self, **_: object) -> None:
        """In the parent, inside of the handler of SIGTERM or SIGINT."""
        now = time.monotonic()
        self._shared.stop_at(now if self._shared.stopping else now + self._grace)


def _keep_logging(**_: object) -> None:
    """Logging is set up already; Celery's process pool shall use it too."""
    get_logger().propagate = True


def _chosen(queues: Sequence[str]) -> list[str]:
    unknown = [queue for queue in queues if queue not in QUEUES]
    if unknown or not queues:
        raise InvalidOption(
            f"There is no queue called {unknown[0]!r}; there are vip, normal and prepare."
            if unknown
            else "A worker needs at least one queue: vip, normal or prepare.",
            param="queues",
        )
    renders = any(queue in {VIP, NORMAL} for queue in queues)
    return list(dict.fromkeys([*([AGAIN] if renders else []), *queues]))
