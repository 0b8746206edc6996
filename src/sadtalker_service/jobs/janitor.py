"""Puts right what accidents leave: jobs of workers that died, messages that were lost, files that are old.

One janitor works at a time, of all instances that share a queue server. It holds a lock that it must renew,
so that another one takes over when it dies.
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
from sadtalker_service.jobs.dispatch import CeleryDispatch, Dispatch
from sadtalker_service.jobs.queues import AGAIN, PREPARE, QUEUE_OF_LANE
from sadtalker_service.jobs.retention import VIDEOS, Retention
from sadtalker_service.jobs.stores import Stores
from sadtalker_service.jobs.video_service import send_waiting
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
"""Avatars without an owner come from an earlier version, which may still run beside this one."""
_REMOTE_SWEEP_SECONDS = 900.0
"""Listing a bucket takes long, and costs money."""
_AWAY_SECONDS = 2.0
"""Pause after the store did not answer."""


def run_janitor(settings: Settings, stop: threading.Event) -> None:
    """Tick until `stop` is set. For a thread of its own: it raises nothing, and logs what goes wrong."""
    with _Logged("janitor"):
        janitor = make_janitor(settings)
        wait = TICK_SECONDS
        while not stop.wait(wait):
            wait = TICK_SECONDS if janitor.tick() else _AWAY_SECONDS
        janitor.leave()


def make_janitor(settings: Settings) -> Janitor:
    """A janitor on the stores of the settings. Raises `StoreMisconfigured` for a wrong ARTEFACT_URL."""
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
    """Something that is to be done again and again."""

    name: str
    period: float
    """Seconds."""
    do: Callable[[], object]
    due_at: float = float("-inf")
    thread: threading.Thread | None = None
    """Which does it, or did it last, if it is one that takes long."""

    def is_due(self, now: float) -> bool:
        """Whether it is to be done now; it is then due again a period later."""
        if now < self.due_at:
            return False
        self.due_at = now + self.period
        return True

    def run(self) -> bool:
        """Do it. False where the store did not answer."""
        with _Logged(self.name) as guard:
            self.do()
        return not guard.store_away

    def start(self) -> None:
        """Do it in a thread of its own, unless it is still being done."""
        if self.thread is None or not self.thread.is_alive():
            self.thread = threading.Thread(target=self.run, name=f"janitor-{self.name}", daemon=True)
            self.thread.start()


class Janitor:
    """Does its duties, each when it is due."""

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
        """`slow_duties` must not keep the others waiting, and run in threads. `clock` gives seconds."""
        self._queue = QueueServer(queue)
        self._sessions = sessions
        self._avatars = avatars
        self._dispatch = dispatch
        self._callbacks = callbacks
        self._lease = lease_seconds
        self._clock = clock
        self._token = secrets.token_hex(8)
        self._settled_at = float("-inf")
        """Before that, leases may have expired because nobody could renew them."""
        self._short_since: float | None = None
        self._duties = (
            Duty("recover", TICK_SECONDS, self._recover),
            Duty("announce", TICK_SECONDS, self._announce),
            Duty("refill", _REFILL_SECONDS, self._refill),
        )
        self._slow_duties = slow_duties

    def tick(self) -> bool:
        """Do what is due, unless another janitor is at work. False where the store did not answer; raises
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
        """Jobs of workers that were not heard of go back into the queue, promoted sessions get tickets."""
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
        """Whether workers have had the time to renew them since the server last came back."""
        if self._clock() < self._settled_at:
            return False
        try:
            uptime = int(self._queue.command("INFO", "server")["uptime_in_seconds"])
        except ResponseError:  # a rented server may forbid INFO
            return True
        return uptime > self._lease

    def _announce(self) -> None:
        """Sessions that have ended: their callbacks are sent on their way."""
        for session in self._sessions.unannounced():
            self._callbacks.add(callback_of(session))
            self._sessions.announced(session.session_id)

    def _refill(self) -> None:
        """Messages that the broker has lost are sent again: to workers, they come at most twice."""
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
        """Whether fewer messages wait than sessions. For a moment that is so whenever a worker takes one."""
        again = self._length(AGAIN)
        return any(
            self._length(QUEUE_OF_LANE[lane]) + again < load.waiting
            for lane, load in self._sessions.lanes().items()
        )

    def _length(self, queue: str) -> int:
        return int(self._queue.command("LLEN", queue))


def deliver_due(callbacks: WebhookQueue, settings: Settings) -> int:
    """Deliver the callbacks that are due; how many arrived.

    Raises `StoreUnavailable`, and `StoreMisconfigured` for a secret that cannot be read.
    """
    if not callbacks.count():
        return 0
    courier = WebhookSender(settings)
    due = callbacks.claim()
    results = courier.deliver(due)
    for callback, result in zip(due, results, strict=True):
        if result == "refused":
            metrics.callback("refused" if callbacks.failed(callback) else "given_up")
        else:
            callbacks.delivered(callback)
            metrics.callback(result)
    return results.count("delivered")


class _Logged:
    """As a block: its errors are logged and no more; the next duty and the next tick come all the same."""

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
