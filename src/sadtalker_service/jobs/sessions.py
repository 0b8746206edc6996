"""Sessions and their states: `queued -> generating -> ready | failed | cancelled`.

Every change is one script on the queue's server, so that no crash and no race can tear it. Three things
follow from that and are checked by tests:

- An accepted session ends exactly once. While it has not ended it is in exactly one of these places: waiting
  in a lane, running under a lease, or following an equal session that waits or runs (its *leader*).
- A run is named by the session and the number of the attempt. As soon as the session goes on without that
  run (its lease was lost, it was handed back, it has ended) nothing that the run says changes anything.
- Equal wishes are worked on once. When a leader leaves, its first follower takes its place; where the work
  is running already it goes on for that follower, under the old name (`Session.run_id`).

A waiting session is served by means of a *ticket*, a message to the broker with its id. Tickets may be lost
or come twice: `begin` decides, and `unsent` and `forgotten` say for whom a new one is due.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import redis

from sadtalker_service.errors import LaneFull, WorkerLost
from sadtalker_service.jobs.failures import worth_another_try
from sadtalker_service.jobs.queue_server import QueueServer
from sadtalker_service.jobs.records import (
    LANES,
    Failure,
    Lane,
    Moment,
    Outcome,
    Session,
    Standing,
)
from sadtalker_service.jobs.session_fields import pairs, read_session
from sadtalker_service.settings import Settings

MAX_DEAD = 1_000
"""Session ids kept in the list of those that were given up."""


@dataclass(frozen=True)
class LaneLoad:
    """How full a lane is."""

    waiting: int
    oldest_at: float | None
    """When the session that has waited longest was accepted; None for an empty lane."""


@dataclass(frozen=True)
class KnownResult:
    """A finished video that equal requests are given."""

    image_id: str
    outcome: Outcome
    created_at: float


class SessionStore:
    """All sessions. Every method raises `StoreUnavailable` where the queue's server does not answer."""

    def __init__(
        self, queue: redis.Redis, settings: Settings, clock: Callable[[], float] | None = None
    ) -> None:
        """Without a `clock` the server's own is read: leases of several machines then share one clock."""
        self._queue = QueueServer(queue)
        self._settings = settings
        self._clock = clock

    # ------------------------------------------------------------------ what a front desk does

    def accept(self, session: Session) -> Session:
        """Take `session` on, and give it as it stands then.

        A known result makes it ready at once (`reused`). An equal session that is worked on, or waits in the
        same or a faster lane, becomes its leader. Otherwise it waits in its lane, and the caller sends its
        ticket. Accepting the same id again changes nothing.

        Raises `LaneFull` with `retry_after` when the lane, or the leader, has all that it may have, and
        `NotFound` when the avatar was deleted.
        """

    def get(self, session_id: str) -> Session | None:
        """The session, a follower with the state, moment and attempt of its leader; one round trip."""

    def standing(self, session_id: str) -> Standing | None:
        """Where a queued session stands; None for any other."""

    def look(self, session_id: str) -> tuple[Session, Standing | None] | None:
        """`get` and `standing` in one round trip: what a poll for the state costs."""

    def cancel(self, session_id: str) -> Session | None:
        """End the session if it waits or follows; ask its worker to stop if it runs for it alone.

        The session as it stands afterwards, None if there is none. One that has ended stays as it is. Its
        place goes to its first follower: see `unsent`.
        """

    def known_result(self, result_key: str) -> KnownResult | None:
        """The finished video called `result_key`, if there is one."""

    def delete_video(self, result_key: str) -> bool:
        """Forget the finished video: equal requests make it anew. To be called before its file is removed.
        False if it was not known."""

    # ------------------------------------------------------------------ what a worker does

    def begin(self, session_id: str, worker: str) -> Session | None:
        """Start an attempt: state `generating`, `attempt` one more, a lease that `renew` must extend.

        None: there is nothing to do. It has ended; it follows another; it runs under a lease that is alive;
        its result has become known meanwhile (it is ready then); an equal session is running (it follows that
        one then); or it has used up its attempts (it is `failed` then, with `worker_lost`, and in `dead`).
        `worker` must be unique among living workers: a lease that the same worker held before is its own, and
        is taken over at once (its child was killed).
        """

    def renew(self, session_id: str, attempt: int) -> bool:
        """Extend the lease. False: the session has gone on without this attempt; stop working."""

    def move(self, session_id: str, attempt: int, moment: Moment) -> bool:
        """Say how far the work is. At most five events a second are written. False as in `renew`."""

    def finish(self, session_id: str, attempt: int, outcome: Outcome) -> bool:
        """The video is published: the session and all who follow it are ready, equal requests will be too.

        False: nothing has become ready. Either the session has gone on without this attempt, or it was to be
        cancelled and now is. A video published for it must then be deleted unless `known_result` has it.
        """

    def fail(self, session_id: str, attempt: int, failure: Failure) -> bool:
        """The attempt ended badly, and trying again makes no sense for this session.

        Followers fail alike, or the first one takes its place in the queue where another try may succeed
        (`failures.worth_another_try`; see `unsent`). A session that was to be cancelled is cancelled, whatever
        `failure` says; so is one whose failure is `cancelled`. False as in `renew`.
        """

    def hand_back(self, session_id: str, attempt: int) -> bool:
        """Back to its place in the queue; does not count as an attempt. See `unsent`. False as in `renew`."""

    def is_cancelled(self, session_id: str) -> bool:
        """Whether its worker shall stop: it was cancelled and nobody else waits for the work, or it is gone."""

    # ------------------------------------------------------------------ what a janitor does

    def lost(self, now: float | None = None) -> tuple[str, ...]:
        """Running sessions whose lease had expired at `now` (default: the present), for `requeue`."""

    def requeue(self, session_id: str) -> Session | None:
        """Back to its place in the queue if its lease has expired; the caller sends its ticket.

        None: no ticket is due. It lives, or has ended; or it ends here: its attempts are used up, it was to
        be cancelled, or its result has become known.
        """

    def unsent(self, limit: int = 100) -> tuple[Session, ...]:
        """Waiting sessions for which no ticket was ever sent, promoted and handed back ones; each is given to
        one caller only, who sends its ticket."""

    def forgotten(self, older_than: float, limit: int = 100) -> tuple[Session, ...]:
        """Waiting sessions whose last ticket was sent more than `older_than` seconds ago, longest first.
        Each is given to one caller only, who sends another ticket where the broker has lost the last."""

    def unannounced(self, limit: int = 100) -> tuple[Session, ...]:
        """Sessions with a `callback_url` that have ended and were not `announced`, those ended first first."""

    def announced(self, session_id: str) -> None:
        """The callback of this session is on its way: `unannounced` leaves it out from now on."""

    # ------------------------------------------------------------------ what anybody may ask

    def waiting(self, lane: Lane) -> tuple[str, ...]:
        """Ids of the sessions that wait in `lane`, in the order in which they will be served."""

    def running(self) -> tuple[str, ...]:
        """Ids of the sessions that run, the one whose lease ends first first."""

    def lanes(self) -> Mapping[Lane, LaneLoad]:
        """How full each lane is."""

    def dead(self, limit: int = MAX_DEAD) -> tuple[str, ...]:
        """Ids of sessions that were given up, the latest first."""

    def of_image(self, image_id: str) -> tuple[str, ...]:
        """Ids of the sessions with this portrait that have not ended."""
