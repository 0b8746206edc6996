"""Repairs what accidents leave behind: jobs of dead workers, lost messages, old files.

Of all instances that share a queue server, one janitor is active at a time. It holds a lock that it must
renew, so another one takes over if it dies.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import redis
import structlog
from redis.exceptions import ResponseError

from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.jobs.celery_app import make_app
from sadtalker_service.jobs.deletion import forget_deleted, remove_unowned
from sadtalker_service.jobs.dispatch import CeleryDispatch, Dispatch, send_waiting
from sadtalker_service.jobs.queues import AGAIN, PREPARE, QUEUE_OF_LANE
from sadtalker_service.jobs.retention import VIDEOS, Retention
from sadtalker_service.jobs.stores import Stores
from sadtalker_service.jobs.webhooks import WebhookSender
from sadtalker_service.settings import Settings
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.queue_server import QueueServer
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.webhook_queue import WebhookQueue, callback_of
from sadtalker_service.telemetry import metrics

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
_LOCK = "lock:janitor"
_LOCK_SECONDS = 5.0
_REFILL_SECONDS = 5.0
_SWEEP_SECONDS = 60.0
_ADOPT_SECONDS = 3600.0
"""Avatars without an owner come from an earlier version, which may still run in parallel."""
_REMOTE_SWEEP_SECONDS = 900.0
"""Listing a bucket takes long and costs money."""
_AWAY_SECONDS = 2.0
"""Pause if the store did not answer."""


def run_janitor(settings: Settings, stop: threading.Event) -> None:
    """Tick until `stop` is set. Run it in its own thread. It raises nothing, and logs errors."""
    with _Logged("janitor"):
        janitor = make_janitor(settings)
        wait = TICK_SECONDS
        while not stop.wait(wait):
            wait = TICK_SECONDS if janitor.tick() else _AWAY_SECONDS
        janitor.leave()


def make_janitor(settings: Settings) -> Janitor:
    """A janitor for the stores of the settings. Raises `StoreMisconfigured` for a wrong ARTEFACT_URL."""
    stores, dispatch = Stores(settings), CeleryDispatch(make_app(settings), settings)
    artefacts, callbacks = stores.artefacts, WebhookQueue(stores.queue)
    video_service = stores.make_video_service(dispatch)
    retention = Retention(artefacts, stores.sessions, video_service, settings)
    is_local = artefacts.path(VIDEOS.rstrip("/")) is not None
    slow_duties = (
        Duty("adopt", _ADOPT_SECONDS, stores.avatars.adopt),
        Duty("deliver", TICK_SECONDS, lambda: deliver_due(callbacks, settings)),
        Duty("sweep", _SWEEP_SECONDS if is_local else _REMOTE_SWEEP_SECONDS, retention.sweep),
        Duty("forget", _SWEEP_SECONDS, lambda: forget_deleted(stores.avatars, stores.cache)),
        Duty("unowned", _SWEEP_SECONDS, lambda: remove_unowned(stores.avatars, artefacts)),
    )
    return Janitor(
        stores.queue,
        stores.sessions,
        stores.avatars,
        dispatch,
        callbacks,
        settings.lease_seconds,
        slow_duties,
    )


@dataclass
class Duty:
    """A task that is repeated."""

    name: str
    period: float
    """Seconds."""
    do: Callable[[], object]
    due_at: float = float("-inf")
    thread: threading.Thread | None = None
    """Thread that runs it, or ran it last, if it is a slow one."""

    def is_due(self, now: float) -> bool:
        """Whether it must run now. If so, it is due again a period later."""
        if now < self.due_at:
            return False
        self.due_at = now + self.period
        return True

    def run(self) -> bool:
        """Run it. False if the store did not answer."""
        with _Logged(self.name) as guard:
            self.do()
        return not guard.store_away

    def start(self) -> None:
        """Run it in its own thread, unless it is still running."""
        if self.thread is None or not self.thread.is_alive():
            self.thread = threading.Thread(target=self.run, name=f"janitor-{self.name}", daemon=True)
            self.thread.start()


class Janitor:
    """Runs its duties when they are due."""

    def __init__(
        self,
        queue: redis.Redis,
        sessions: SessionStore,
        avatars: AvatarStore,
        dispatch: Dispatch,
        callbacks: WebhookQueue,
        lease_seconds: float,
        slow_duties: Sequence[Duty],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`slow_duties` run in threads, so that they do not delay the others. `clock` returns seconds."""
        self._queue = QueueServer(queue)
        self._sessions = sessions
        self._avatars = avatars
        self._dispatch = dispatch
        self._callbacks = callbacks
        self._lease = lease_seconds
        self._clock = clock
        self._token = secrets.token_hex(8)
        self._settled_at = float("-inf")
        """Until then leases may have expired only because they could not be renewed."""
        self._short_since: float | None = None
        self._duties = (
            Duty("recover", TICK_SECONDS, self._recover),
            Duty("announce", TICK_SECONDS, self._announce),
            Duty("refill", _REFILL_SECONDS, self._refill),
        )
        self._slow_duties = slow_duties

    def tick(self) -> bool:
        """Run the due duties, unless another janitor is active. False if the store did not answer. Raises
        nothing."""
        with _Logged("lock") as guard:
            if not self._hold_lock(_LOCK_SECONDS):
                return True
        answered = not guard.store_away and all(
            duty.run() for duty in self._duties if duty.is_due(self._clock())
        )
        if not answered:
            self._settled_at = self._clock() + self._lease
            return False
        for duty in self._slow_duties:
            if duty.is_due(self._clock()):
                duty.start()
        return True

    def leave(self) -> None:
        """Let another janitor take over at once."""
        with _Logged("leave"):
            self._hold_lock(0.001)

    def _hold_lock(self, seconds: float) -> bool:
        return bool(self._queue.script("hold_lock", _LOCK, self._token, max(1, round(1000 * seconds))))

    def _recover(self) -> None:
        """Return the jobs of silent workers to the queue, and send tickets of promoted sessions."""
        send_waiting(self._sessions, self._dispatch)
        lost = self._sessions.lost()
        if not lost or not self._leases_are_true():
            return
        for session_id in lost:
            session = self._sessions.requeue(session_id)
            log.warning("job_lost", session_id=session_id, waits_again=session is not None)
            if session is not None:
                metrics.job_requeued("lease")
                self._dispatch.generate(session)

    def _leases_are_true(self) -> bool:
        """Whether workers have had the time to renew their leases since the server was last unavailable."""
        if self._clock() < self._settled_at:
            return False
        try:
            uptime = int(self._queue.command("INFO", "server")["uptime_in_seconds"])
        except ResponseError:  # a managed server may forbid INFO
            return True
        return uptime > self._lease

    def _announce(self) -> None:
        """Queue the callbacks of ended sessions."""
        for session in self._sessions.unannounced():
            self._callbacks.add(callback_of(session))
            self._sessions.announced(session.session_id)

    def _refill(self) -> None:
        """Send messages again that the broker has lost. A worker gets each at most twice."""
        if not self._lists_are_short():
            self._short_since = None
        elif self._short_since is None:
            self._short_since = self._clock()
        elif self._clock() - self._short_since >= self._lease:
            for session in self._sessions.forgotten(self._lease):
                log.warning("ticket_lost", session_id=session.session_id)
                metrics.job_requeued("forgotten")
                self._dispatch.generate(session)
        unprepared = self._avatars.unprepared(self._lease)
        if len(unprepared) > self._length(PREPARE):
            for image_id, mode, face_index in unprepared:
                log.warning("preparation_lost", image_id=image_id, mode=mode, face_index=face_index)
                metrics.job_requeued("forgotten")
                self._dispatch.prepare(image_id, mode, face_index)

    def _lists_are_short(self) -> bool:
        """Whether there are fewer messages than waiting sessions. Briefly true when a worker takes one."""
        again = self._length(AGAIN)
        return any(
            self._length(QUEUE_OF_LANE[lane]) + again < load.waiting
            for lane, load in self._sessions.lanes().items()
        )

    def _length(self, queue: str) -> int:
        return int(self._queue.command("LLEN", queue))


def deliver_due(callbacks: WebhookQueue, settings: Settings) -> int:
    """Deliver the due callbacks. Returns how many arrived.

    Raises `StoreUnavailable`, and `StoreMisconfigured` for an unreadable secret.
    """
    if not callbacks.count():
        return 0
    sender = WebhookSender(settings)
    due = callbacks.claim()
    results = sender.deliver(due)
    for callback, result in zip(due, results, strict=True):
        if result == "refused":
            metrics.callback("refused" if callbacks.failed(callback) else "given_up")
        else:
            callbacks.delivered(callback)
            metrics.callback(result)
    return results.count("delivered")


class _Logged:
    """Context manager that only logs errors, so that the next duty and the next tick still run."""

    def __init__(self, duty: str) -> None:
        self._duty = duty
        self.store_away = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, StoreUnavailable):
            self.store_away = True
            log.warning("janitor_waits", duty=self._duty, reason=error.message)
        elif isinstance(error, Exception):
            log.error("janitor_stumbled", duty=self._duty, exc_info=error)
        return error is None or isinstance(error, Exception)
