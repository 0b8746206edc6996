"""Live sessions: leases on the slots of the workers that carry them.

`waiting -> connected <-> away -> closed`. A worker extends the leases of its sessions every second or two. A
lease that ends closes its session and frees the slot, whatever has happened to the worker. Every change is
one script.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import redis
import redis.asyncio

from sadtalker_service.errors import (
    EngineUnavailable,
    LiveSlotsFull,
    LiveUnavailable,
    NotFound,
)
from sadtalker_service.settings import Settings
from sadtalker_service.state.live_records import (
    EndReason,
    LiveFigures,
    LiveRecording,
    LiveSession,
    LiveSpec,
    LiveState,
    LiveWorker,
    read_live_session,
)
from sadtalker_service.state.queue_server import AsyncQueueServer, QueueServer
from sadtalker_service.state.session_fields import pairs

BEAT_SECONDS = 1.0
"""How often a live worker reports itself and extends its leases."""
LIVE_WORKER_LIVES_SECONDS = 4.0
"""A worker that was not heard of for so long gets no session."""

_FORGET_SECONDS = 600.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 2.0, 30.0
"""Bounds of `retry_after` if every slot is taken, seconds."""


class LiveSessionStore:
    """All live sessions. Every method raises `StoreUnavailable` if the queue server does not answer."""

    def __init__(self, queue: redis.Redis, settings: Settings) -> None:
        """`queue` returns bytes."""
        self._queue = QueueServer(queue)
        self._max_load = settings.live_max_load
        self._grace = settings.live_grace_seconds
        self._lease = settings.lease_seconds
        self._kept = _kept(settings)

    def claim(self, session_id: str, token_digest: str, owner: str, spec: LiveSpec) -> LiveSession:
        """Claim a slot on the worker with the lowest load, until its client connects or the time is over.

        Raises `LiveSlotsFull` with `retry_after`, `LiveUnavailable` if no live worker runs,
        `EngineUnavailable` if none has the engine, `NotFound` if the avatar was deleted.
        """
        answer = self._queue.named_script(
            "live_claim",
            id=session_id,
            owner=owner,
            token=token_digest,
            image=spec.image_id,
            engine=spec.engine,
            base=json.dumps(spec.to_json(), separators=(",", ":")),
            lease=self._grace,
            max_age=LIVE_WORKER_LIVES_SECONDS,
            max_load=self._max_load,
            kept=self._kept,
        )
        if answer[0] != b"claimed":
            raise _refusal(answer, spec)
        return read_live_session(session_id, pairs(answer[1]))

    def get(self, session_id: str) -> LiveSession | None:
        """The session, None if it is unknown."""
        fields = pairs(self._queue.script("live_read", session_id, self._kept))
        return read_live_session(session_id, fields) if fields else None

    def end(self, session_id: str, reason: EndReason, figures: LiveFigures | None = None) -> bool:
        """End the session. False if it has ended before. Its worker notices within `BEAT_SECONDS`."""
        text = json.dumps(figures.to_json(), separators=(",", ":")) if figures else ""
        return bool(self._queue.script("live_end", session_id, reason, text, self._kept))

    def renew(self, session_id: str, worker: str, state: LiveState, figures: LiveFigures) -> EndReason | None:
        """Extend the lease of a session, for its worker. The reason if the session has ended meanwhile."""
        text = json.dumps(figures.to_json(), separators=(",", ":"))
        lease = self._lease if state == "connected" else max(self._lease, self._grace)
        answer = self._queue.script("live_renew", session_id, worker, state, text, lease, self._kept)
        if not answer:
            return "worker_lost"
        return answer[1].decode() if answer[0] == b"closed" else None

    def saved(self, session_id: str, recording: LiveRecording) -> None:
        """Record what has become of the recording of a session. Does nothing if the session is unknown."""
        text = json.dumps(recording.to_json(), separators=(",", ":"))
        self._queue.script("live_saved", session_id, text)

    def beat(self, name: str, facts: LiveWorker) -> None:
        """Report the live worker `name`."""
        text = json.dumps(facts.to_json(), separators=(",", ":"))
        self._queue.script("live_beat", name, text, _FORGET_SECONDS)

    def leave(self, name: str, reason: EndReason) -> None:
        """The worker `name` carries no session any more, because it restarts or stops."""
        self._queue.script("live_leave", name, reason, self._kept)

    def workers(self) -> Mapping[str, tuple[LiveWorker, int]]:
        """Name -> the worker and its number of taken slots, for those that were heard of lately."""
        raw = self._queue.script("live_workers", LIVE_WORKER_LIVES_SECONDS, self._kept)
        return {
            name.decode(): (LiveWorker.from_json(json.loads(text)), int(taken))
            for name, text, taken in zip(raw[::3], raw[1::3], raw[2::3], strict=True)
        }


class AsyncLiveSessions:
    """The part of `LiveSessionStore` that asyncio code needs."""

    def __init__(self, queue: redis.asyncio.Redis, settings: Settings) -> None:
        """`queue` returns bytes."""
        self._queue = AsyncQueueServer(queue)
        self._kept = _kept(settings)

    async def get(self, session_id: str) -> LiveSession | None:
        """As in `LiveSessionStore`."""
        fields = pairs(await self._queue.script("live_read", session_id, self._kept))
        return read_live_session(session_id, fields) if fields else None


def _kept(settings: Settings) -> int:
    """How long an ended session is kept, milliseconds."""
    return round(1000 * settings.session_ttl_seconds)


def _refusal(
    answer: list[bytes], spec: LiveSpec
) -> LiveSlotsFull | LiveUnavailable | EngineUnavailable | NotFound:
    kind = answer[0]
    if kind == b"gone":
        return NotFound(
            "The avatar does not exist, or no longer exists. Upload its source image first.",
            param="image_id",
        )
    if kind == b"none":
        return LiveUnavailable(
            "No process for live sessions is running. Try again in a few seconds, or ask the operator to set"
            " LIVE_SLOTS.",
            retry_after=5.0,
        )
    if kind == b"engine":
        return EngineUnavailable(
            f"No process for live sessions has the engine {spec.engine!r}. Leave out engine, or ask the"
            " operator.",
            param="engine",
        )
    pause = min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, float(answer[1])))
    return LiveSlotsFull(
        "Every slot for live sessions is taken at the moment. Try again later.", retry_after=pause
    )
