"""Sessions and their states: `queued -> generating -> ready | failed | cancelled`.

Every change is one script on the queue's server, so that no crash and no race can tear it. Three things
follow from that and are checked by tests:

- An accepted session ends exactly once. While it has not ended it is in exactly one of these places: waiting
  in a lane, running under a lease, or following an equal session that waits or runs (its *leader*).
- A run is named by the session and the number of the attempt. As soon as the session goes on without that
  run (its lease was lost, it was handed back, it has ended) nothing that the run says changes anything.
- Equal wishes are worked on once. When a leader leaves, its first waiter takes its place; where the work
  is running already it goes on for that waiter, under the old name (`Session.run_id`).

A waiting session is served by means of a *ticket*, a message to the broker with its id. Tickets may be lost
or come twice: `begin` decides, and `unsent` and `forgotten` say for whom a new one is due.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from sadtalker_service.domain import Progress, VideoResult
from sadtalker_service.errors import Cancelled, LaneFull, NotFound, WorkerLost
from sadtalker_service.settings import Settings
from sadtalker_service.state.failures import failure_of, worth_another_try
from sadtalker_service.state.queue_server import QueueServer
from sadtalker_service.state.records import LANES, Failure, Lane, QueuePosition, Session
from sadtalker_service.state.session_fields import constant_part, pairs, read_session
from sadtalker_service.state.viewer import EVERYBODY, Viewer

MAX_DEAD = 1_000
"""Session ids kept in the list of those that were given up."""

EVENT_PAUSE_SECONDS = 0.2
"""Events that tell of progress within one stage come no faster: nobody's eyes are."""

WORKER_LIVES_SECONDS = 10.0
"""A worker counts in forecasts for so long after its last heartbeat; it gives one each two seconds."""

_UNKNOWN_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 60.0
"""Bounds of `retry_after` when a lane is full."""


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
    outcome: VideoResult
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

    # ------------------------------------------------------------------ what the video service does

    def accept(self, session: Session) -> Session:
        """Take `session` on, and give it as it stands then.

        A known result makes it ready at once (`reused`). An equal session that is worked on, or waits in the
        same or a faster lane, becomes its leader. Otherwise it waits in its lane, and the caller sends its
        ticket. Accepting the same id again changes nothing.

        Raises `LaneFull` with `retry_after` when the lane, or the leader, has all that it may have, and
        `NotFound` when the avatar was deleted.
        """
        answer = self._queue.script(
            "accept",
            session.session_id,
            constant_part(session),
            session.lane,
            session.result_key,
            session.spec.image_id,
            session.owner,
            session.spec.engine,
            session.spec.audio_seconds,
            session.queued_at,
            int(session.callback_url is not None),
            self._now(),
            self._settings.max_waiting,
            self._ttl,
            _ms(self._settings.video_retention_seconds),
        )
        if answer[0] == b"gone":
            raise NotFound("There is no such avatar (any more); upload the picture again.", param="image_id")
        if answer[0] == b"full":
            raise self._lane_full(session.lane)
        return _session(answer[1])

    def check_room(self, lane: Lane, result_key: str) -> None:
        """Raises the `LaneFull` that `accept` would raise at this moment."""
        if not self._queue.script("room", result_key, lane, self._settings.max_waiting):
            raise self._lane_full(lane)

    def get(self, session_id: str) -> Session | None:
        """The session, a waiter with the state, moment and attempt of its leader; one round trip."""
        raw = self._queue.script("get", session_id)
        return _session(raw) if raw else None

    def read_status(self, session_id: str) -> tuple[Session, QueuePosition | None] | None:
        """`get`, and where the session stands in the queue, in one round trip: what a poll costs."""
        return read_status_reply(self._queue.script(*status_script(session_id, self._now(), self._settings)))

    def cancel(self, session_id: str) -> Session | None:
        """End the session if it waits or follows; ask its worker to stop if it runs for it alone.

        The session as it stands afterwards, None if there is none. One that has ended stays as it is. Its
        place goes to its first waiter: see `unsent`.
        """
        raw = self._queue.script("cancel", session_id, self._now(), self._ttl)
        return _session(raw) if raw else None

    def known_result(self, result_key: str) -> KnownResult | None:
        """The finished video called `result_key`, if there is one."""
        fields = self._queue.command("HMGET", f"result:{result_key}", "image_id", "outcome", "created_at")
        if None in fields:
            return None
        image_id, outcome, created_at = fields
        return KnownResult(image_id.decode(), VideoResult.from_json(json.loads(outcome)), float(created_at))

    def delete_video(self, result_key: str) -> bool:
        """Forget the finished video: equal requests make it anew. To be called before its file is removed.
        False if it was not known."""
        return bool(self._queue.script("delete_video", result_key))

    # ------------------------------------------------------------------ what a worker does

    def begin(self, session_id: str, worker: str) -> Session | None:
        """Start an attempt: state `generating`, `attempt` one more, a lease that `renew` must extend.

        None: there is nothing to do. It has ended; it follows another; it runs under a lease that is alive;
        its result has become known meanwhile (it is ready then); an equal session is running (it follows that
        one then); or it has used up its attempts (it is `failed` then, with `worker_lost`, and in `dead`).
        `worker` must be unique among living workers: a lease that the same worker held before is its own, and
        is taken over at once (its child was killed).
        """
        raw = self._queue.script(
            "begin",
            session_id,
            worker,
            self._now(),
            self._settings.lease_seconds,
            self._ttl,
            *self._on_exit(),
        )
        return _session(raw) if raw else None

    def renew(self, session_id: str, attempt: int) -> bool:
        """Extend the lease. False: the session has gone on without this attempt; stop working."""
        lease = self._settings.lease_seconds
        return bool(self._queue.script("renew", session_id, attempt, self._now(), lease, self._ttl))

    def move(self, session_id: str, attempt: int, moment: Progress) -> bool:
        """Say how far the work is. At most five events a second are written. False as in `renew`."""
        return bool(
            self._queue.script(
                "move",
                session_id,
                attempt,
                self._now(),
                moment.stage,
                _text(moment),
                EVENT_PAUSE_SECONDS,
                self._ttl,
            )
        )

    def finish(self, session_id: str, attempt: int, outcome: VideoResult) -> bool:
        """The video is published: the session and all who follow it are ready, equal requests will be too.

        False: nothing has become ready. Either the session has gone on without this attempt, or it was to be
        cancelled and now is. A video published for it must then be deleted unless `known_result` has it.
        """
        kept = _ms(self._settings.video_retention_seconds)
        return bool(
            self._queue.script("finish", session_id, attempt, self._now(), _text(outcome), self._ttl, kept)
        )

    def fail(self, session_id: str, attempt: int, failure: Failure) -> bool:
        """The attempt ended badly, and trying again makes no sense for this session.

        Followers fail alike, or the first one takes its place in the queue where another try may succeed
        (`failures.worth_another_try`; see `unsent`). A session that was to be cancelled is cancelled,
        whatever `failure` says; so is one whose failure is `cancelled`. False as in `renew`.
        """
        if failure.code == Cancelled.code:
            how = "cancelled"
        else:
            how = "retry" if worth_another_try(failure) else "alike"
        return bool(
            self._queue.script("fail", session_id, attempt, self._now(), _text(failure), how, self._ttl)
        )

    def hand_back(self, session_id: str, attempt: int) -> bool:
        """Back to its place in the queue; does not count as an attempt. See `unsent`. False as in `renew`."""
        return bool(self._queue.script("hand_back", session_id, attempt, self._now(), self._ttl))

    def is_cancelled(self, session_id: str) -> bool:
        """Whether its worker shall stop: it was cancelled and nobody else waits for it, or it is gone."""
        return bool(self._queue.script("is_cancelled", session_id))

    # ------------------------------------------------------------------ what a janitor does

    def lost(self, now: float | None = None) -> tuple[str, ...]:
        """Running sessions whose lease had expired at `now` (default: the present), for `requeue`."""
        return read_ids(self._queue.script("lost", self._now() if now is None else f"{now:.6f}"))

    def requeue(self, session_id: str, worker: str = "") -> Session | None:
        """Back to its place in the queue if its lease has expired; the caller sends its ticket.

        `worker` is one that is known to have died: its leases need not expire. None: no ticket is due. It
        lives, or has ended; or it ends here: its attempts are used up, it was to be cancelled, or its result
        has become known.
        """
        raw = self._queue.script("requeue", session_id, worker, self._now(), self._ttl, *self._on_exit())
        return _session(raw) if raw else None

    def unsent(self, limit: int = 100) -> tuple[Session, ...]:
        """Waiting sessions for which no ticket was ever sent, promoted and handed back ones; each is given to
        one caller only, who sends its ticket."""
        return tuple(map(_session, self._queue.script("claim_tickets", self._now(), "", limit)))

    def forgotten(self, older_than: float, limit: int = 100) -> tuple[Session, ...]:
        """Waiting sessions whose last ticket was sent more than `older_than` seconds ago, longest first.
        Each is given to one caller only, who sends another ticket where the broker has lost the last."""
        return tuple(map(_session, self._queue.script("claim_tickets", self._now(), older_than, limit)))

    def unannounced(self, limit: int = 100) -> tuple[Session, ...]:
        """Sessions with a `callback_url` that have ended and were not `announced`, in order of their ends."""
        return tuple(map(_session, self._queue.script("unannounced", limit)))

    def announced(self, session_id: str) -> None:
        """The callback of this session is on its way: `unannounced` leaves it out from now on."""
        self._queue.command("ZREM", "unannounced", session_id)

    # ------------------------------------------------------------------ what anybody may ask

    def waiting(self, lane: Lane) -> tuple[str, ...]:
        """Ids of the sessions that wait in `lane`, in the order in which they will be served."""
        return read_ids(self._queue.command("ZRANGE", f"waiting:{lane}", 0, -1))

    def running(self) -> tuple[str, ...]:
        """Ids of the sessions that run, the one whose lease ends first first."""
        return read_ids(self._queue.command("ZRANGE", "running", 0, -1))

    def lanes(self) -> Mapping[Lane, LaneLoad]:
        """How full each lane is."""
        return read_lanes(self._queue.script("lanes", *LANES))

    def dead(self, limit: int = MAX_DEAD) -> tuple[str, ...]:
        """Ids of sessions that were given up, the latest first."""
        return read_ids(self._queue.command("LRANGE", "dead", 0, limit - 1))

    def running_owners(self) -> tuple[tuple[str, str], ...]:
        """(id, owner) of the sessions that run, in the order of `running`."""
        return read_running(self._queue.script("running"))

    def of_image(self, image_id: str, viewer: Viewer = EVERYBODY) -> tuple[str, ...]:
        """Ids of the sessions with this source image that have not ended, and that `viewer` may see."""
        return read_ids(self._queue.script("image_sessions", image_id, viewer.only))

    # ------------------------------------------------------------------ inside

    @property
    def _ttl(self) -> int:
        """Milliseconds for which an ended session is remembered."""
        return _ms(self._settings.session_ttl_seconds)

    def _now(self) -> str:
        """The time as the scripts take it; empty: the server's."""
        return f"{self._clock():.6f}" if self._clock else ""

    def _on_exit(self) -> tuple[str | int, ...]:
        """What a script needs to know to give a session up."""
        most = self._settings.max_attempts
        message = f"The worker died while it made this video, {most} times of {most} tries."
        return most, _text(failure_of(WorkerLost(message))), MAX_DEAD

    def _lane_full(self, lane: Lane) -> LaneFull:
        work, workers = self._queue.script("next_place", lane, WORKER_LIVES_SECONDS)
        pause = float(work) / max(1, int(workers)) if work else _UNKNOWN_PAUSE_SECONDS
        waiting = self._settings.max_waiting
        return LaneFull(
            f"{waiting} requests wait in the lane {lane}, no more may; try again later.",
            retry_after=min(max(pause, 1.0), _LONGEST_PAUSE_SECONDS),
        )


def _session(raw: Sequence[Sequence[bytes]]) -> Session:
    """The session of which a script gave the `view`."""
    return read_session(pairs(raw[0]), pairs(raw[1]))


def _queue_position(raw: Sequence[Any]) -> QueuePosition | None:
    if not raw:
        return None
    ahead, before, own, workers = raw
    known = before and own and int(workers)
    return QueuePosition(int(ahead), float(before) / int(workers) + float(own) if known else None)


def status_script(session_id: str, now: str, settings: Settings) -> tuple[str, str, str, float, int]:
    """Name and arguments of the script behind `read_status`; `now` is empty for the server's time."""
    return "read_status", session_id, now, WORKER_LIVES_SECONDS, settings.vip_in_a_row


def read_status_reply(raw: Sequence[Any]) -> tuple[Session, QueuePosition | None] | None:
    """What that script has answered."""
    return (_session(raw), _queue_position(raw[2])) if raw else None


def read_lanes(raw: Sequence[Any]) -> dict[Lane, LaneLoad]:
    """What the script `lanes` has answered."""
    return {
        lane: LaneLoad(int(waiting), float(oldest_at) if oldest_at else None)
        for lane, (waiting, oldest_at) in zip(LANES, raw, strict=True)
    }


def read_ids(raw: Iterable[bytes]) -> tuple[str, ...]:
    """Session ids as they lie on the server."""
    return tuple(item.decode() for item in raw)


def read_running(raw: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
    """What the script `running` has answered."""
    words = read_ids(raw)
    return tuple(zip(words[::2], words[1::2], strict=True))


def _text(record: Progress | VideoResult | Failure) -> str:
    """JSON as it is kept, and as it goes into events."""
    return json.dumps(record.to_json(), separators=(",", ":"))


def _ms(seconds: float) -> int:
    return max(1, round(1000 * seconds))
