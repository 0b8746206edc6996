"""Sessions and their states: `queued -> generating -> ready | failed | cancelled`.

Every change is one script on the queue server, so no crash and no race can leave it half done. Three things
follow, and tests check them:

- An accepted session ends exactly once. Until then it is in exactly one of these places: waiting in a lane,
  running under a lease, or following an equal session that waits or runs (its *leader*).
- A run is identified by the session and the number of the attempt. Once the session continues without that
  run (its lease was lost, it was handed back, it has ended), reports of that run change nothing.
- Equal requests are worked on once. If a leader leaves, its first waiter takes its place. Work that is
  already running continues for that waiter, under the old name (`Session.run_id`).

A *ticket*, a message to the broker with the session's id, makes a worker serve a waiting session. Tickets may
be lost or duplicated. `begin` decides what they do, and `unsent` and `forgotten` return sessions that need a
new one.
"""

from __future__ import annotations

import json
from typing import Any

from sadtalker_service.domain import Progress, VideoResult
from sadtalker_service.errors import Cancelled, LaneFull, NotFound, WorkerLost
from sadtalker_service.state.failures import failure_of, worth_another_try
from sadtalker_service.state.records import Failure, Lane, Session
from sadtalker_service.state.session_fields import constant_part
from sadtalker_service.state.session_reader import MAX_DEAD, SessionReader
from sadtalker_service.state.session_replies import (
    WORKER_LIVES_SECONDS,
    read_ids,
    read_view,
)

EVENT_PAUSE_SECONDS = 0.2
"""Shortest time between progress events of one stage."""

_UNKNOWN_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 60.0
"""Bounds of `retry_after` if a lane is full."""


class SessionStore(SessionReader):
    """All sessions. Every method raises `StoreUnavailable` if the queue server does not answer."""

    # ------------------------------------------------------------------ for the video service

    def accept(self, session: Session) -> Session:
        """Accept `session` and return its state afterwards.

        A known result makes it ready at once (`reused`). An equal session that is being worked on, or waits
        in the same or a faster lane, becomes its leader. Otherwise it waits in its lane, and the caller
        sends its ticket. Accepting the same id again changes nothing.

        Raises `LaneFull` with `retry_after` if the lane or the leader has reached its limit, and `NotFound`
        if the avatar was deleted.
        """
        answer = self._queue.named_script(
            "accept",
            **_facts(session),
            callback=int(session.callback_url is not None),
            now=self._now(),
            max_waiting=self._settings.max_waiting,
            ttl=self._ttl,
            result_ttl=_ms(self._settings.video_retention_seconds),
        )
        if answer[0] == b"gone":
            raise NotFound(
                "The avatar does not exist, or no longer exists. Upload its source image first.",
                param="image_id",
            )
        if answer[0] == b"full":
            raise self._lane_full(session.lane)
        return read_view(answer[1])

    def add_finished(self, session: Session) -> bool:
        """Add a session that has ended, with a published video that no job has made. Adding the same id again
        changes nothing. False if the avatar was deleted, at least for the session's owner."""
        if session.outcome is None:
            raise ValueError("the session has no video")
        return bool(
            self._queue.named_script(
                "add_finished",
                **_facts(session),
                started_at=session.started_at or session.queued_at,
                outcome=_text(session.outcome),
                now=self._now(),
                ttl=self._ttl,
                result_ttl=_ms(self._settings.video_retention_seconds),
            )
        )

    def check_room(self, lane: Lane, result_key: str) -> None:
        """Raises the `LaneFull` that `accept` would raise now."""
        if not self._queue.script("room", result_key, lane, self._settings.max_waiting):
            raise self._lane_full(lane)

    def cancel(self, session_id: str) -> Session | None:
        """End the session if it waits or follows. If it runs for itself alone, ask its worker to stop.

        Returns the session afterwards, None if it is unknown. An ended one stays unchanged. Its place goes to
        its first waiter; see `unsent`.
        """
        raw = self._queue.script("cancel", session_id, self._now(), self._ttl)
        return read_view(raw) if raw else None

    def delete_video(self, result_key: str) -> bool:
        """Forget the finished video, so that equal requests render it again. Call it before its file is
        removed. False if it was unknown."""
        return bool(self._queue.script("delete_video", result_key))

    # ------------------------------------------------------------------ for workers

    def begin(self, session_id: str, worker: str) -> Session | None:
        """Start an attempt: state `generating`, `attempt` plus one, and a lease that `renew` must extend.

        None means that there is nothing to do, because the session
        - has ended, follows another one, or runs under a valid lease,
        - has a known result by now (it is ready then),
        - equals a running session (it follows that one then), or
        - has used up its attempts (it has `failed` then, with `worker_lost`, and is in `dead`).

        `worker` must be unique among live workers. A lease that the same worker held before is taken over at
        once, because its child process was killed.
        """
        raw = self._queue.named_script(
            "begin",
            id=session_id,
            worker=worker,
            now=self._now(),
            lease=self._settings.lease_seconds,
            **self._rules(),
        )
        return read_view(raw) if raw else None

    def renew(self, session_id: str, attempt: int) -> bool:
        """Extend the lease. False: the session continues without this attempt, so stop working."""
        lease = self._settings.lease_seconds
        return bool(self._queue.script("renew", session_id, attempt, self._now(), lease, self._ttl))

    def move(self, session_id: str, attempt: int, moment: Progress) -> bool:
        """Report progress. At most five events per second are written. False as in `renew`."""
        return bool(
            self._queue.named_script(
                "move",
                id=session_id,
                attempt=attempt,
                now=self._now(),
                stage=moment.stage,
                moment=_text(moment),
                pause=EVENT_PAUSE_SECONDS,
                ttl=self._ttl,
            )
        )

    def finish(self, session_id: str, attempt: int, outcome: VideoResult) -> bool:
        """Record the published video. The session, its followers and later equal requests become ready.

        False: nothing has become ready. The session continues without this attempt, or it was cancelled. A
        video published for it must then be deleted, unless `known_result` returns it.
        """
        kept = _ms(self._settings.video_retention_seconds)
        return bool(
            self._queue.script("finish", session_id, attempt, self._now(), _text(outcome), self._ttl, kept)
        )

    def fail(self, session_id: str, attempt: int, failure: Failure) -> bool:
        """Record that the attempt failed, and a retry makes no sense for this session.

        Its followers fail too. If another try may succeed (`failures.worth_another_try`), the first follower
        takes its place in the queue instead; see `unsent`. A session whose cancellation was requested is
        cancelled, whatever `failure` says. So is one whose failure is `cancelled`. False as in `renew`.
        """
        if failure.code == Cancelled.code:
            how = "cancelled"
        else:
            how = "retry" if worth_another_try(failure) else "alike"
        return bool(
            self._queue.script("fail", session_id, attempt, self._now(), _text(failure), how, self._ttl)
        )

    def hand_back(self, session_id: str, attempt: int) -> bool:
        """Return it to its place in the queue without counting the attempt. See `unsent` and `renew`."""
        return bool(self._queue.script("hand_back", session_id, attempt, self._now(), self._ttl))

    def is_cancelled(self, session_id: str) -> bool:
        """Whether its worker must stop: it was cancelled and has no followers, or it is unknown."""
        return bool(self._queue.script("is_cancelled", session_id))

    # ------------------------------------------------------------------ for the janitor

    def lost(self, now: float | None = None) -> tuple[str, ...]:
        """Running sessions whose lease had expired at `now` (default: the current time), for `requeue`."""
        return read_ids(self._queue.script("lost", self._now() if now is None else f"{now:.6f}"))

    def requeue(self, session_id: str, worker: str = "") -> Session | None:
        """Return it to its place in the queue if its lease has expired. The caller sends its ticket.

        `worker` is known to be dead, so its leases count as expired. None means that no ticket is needed: the
        session runs or has ended, or it ends here because its attempts are used up, it was cancelled, or its
        result is known by now.
        """
        raw = self._queue.named_script(
            "requeue", id=session_id, dead_worker=worker, now=self._now(), **self._rules()
        )
        return read_view(raw) if raw else None

    def unsent(self, limit: int = 100) -> tuple[Session, ...]:
        """Waiting sessions without a ticket: promoted and handed-back ones. Each is given to one caller only,
        who sends its ticket."""
        return tuple(map(read_view, self._queue.script("claim_tickets", self._now(), "", limit)))

    def forgotten(self, older_than: float, limit: int = 100) -> tuple[Session, ...]:
        """Waiting sessions whose last ticket is older than `older_than` seconds, the oldest first. Each is
        given to one caller only, who sends another ticket if the broker has lost the last one."""
        return tuple(map(read_view, self._queue.script("claim_tickets", self._now(), older_than, limit)))

    def unannounced(self, limit: int = 100) -> tuple[Session, ...]:
        """Ended sessions with a `callback_url` that are not `announced` yet, in order of their ends."""
        return tuple(map(read_view, self._queue.script("unannounced", limit)))

    def announced(self, session_id: str) -> None:
        """Record that the session's callback is queued; `unannounced` leaves it out from now on."""
        self._queue.command("ZREM", "unannounced", session_id)

    # ------------------------------------------------------------------ private

    @property
    def _ttl(self) -> int:
        """Milliseconds for which an ended session is kept."""
        return _ms(self._settings.session_ttl_seconds)

    def _rules(self) -> dict[str, str | int]:
        """What a script needs to give a session up."""
        most = self._settings.max_attempts
        message = (
            f"The worker died while it rendered this video, in {most} of {most} attempts. Try again. If it"
            " fails again, use a shorter audio file or a smaller source image."
        )
        return {
            "ttl": self._ttl,
            "max_starts": most,
            "failure": _text(failure_of(WorkerLost(message))),
            "max_dead": MAX_DEAD,
        }

    def _lane_full(self, lane: Lane) -> LaneFull:
        work, workers = self._queue.script("next_place", lane, WORKER_LIVES_SECONDS)
        pause = float(work) / max(1, int(workers)) if work else _UNKNOWN_PAUSE_SECONDS
        waiting = self._settings.max_waiting
        return LaneFull(
            f"The lane {lane} is full: {waiting} requests are waiting. Try again later.",
            retry_after=min(max(pause, 1.0), _LONGEST_PAUSE_SECONDS),
        )


def _facts(session: Session) -> dict[str, Any]:
    """What every script is told that adds a session."""
    return {
        "id": session.session_id,
        "base": constant_part(session),
        "lane": session.lane,
        "key": session.result_key,
        "image": session.spec.image_id,
        "owner": session.owner,
        "engine": session.spec.engine,
        "seconds": session.spec.audio_seconds,
        "queued_at": session.queued_at,
    }


def _text(record: Progress | VideoResult | Failure) -> str:
    """JSON as it is kept, and as it goes into events."""
    return json.dumps(record.to_json(), separators=(",", ":"))


def _ms(seconds: float) -> int:
    return max(1, round(1000 * seconds))
