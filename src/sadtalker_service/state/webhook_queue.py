"""Callbacks, which notify the client of a session that it has ended.

They are stored on the queue server until they are delivered or given up, so that no restart loses one. Their
format follows Standard Webhooks (https://www.standardwebhooks.com).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import redis

from sadtalker_service.state.queue_server import QueueServer
from sadtalker_service.state.records import Session

TRIES = 8
_FIRST_DELAY = 5.0
_LONGEST_DELAY = 3_600.0
_GROWTH = 3.2
"""Delays of 5 s, 16 s, 51 s, 3 min, 9 min, 28 min, 1 h. They suit receivers that are restarting, and those
that are being repaired."""
_CLAIM_SECONDS = 60.0
"""A callback claimed by a process that died is tried again after this long."""
_KEPT_SECONDS = 2 * 86_400


@dataclass(frozen=True)
class Callback:
    """A message to be delivered."""

    callback_id: str
    """The session's id. It is the same for every try, so that receivers can drop duplicates."""
    url: str
    body: str
    """JSON, the same for every try."""
    tries: int = 0
    """Tries so far."""


class WebhookQueue:
    """Callbacks in progress. Every method raises `StoreUnavailable`."""

    def __init__(self, queue: redis.Redis, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns seconds since 1970."""
        self._queue = QueueServer(queue)
        self._clock = clock

    def add(self, callback: Callback) -> None:
        """Deliver it as soon as possible. Adding the same one again changes nothing."""
        self._keep(callback, self._clock())

    def claim(self, limit: int = 20) -> tuple[Callback, ...]:
        """Due callbacks, given to this caller alone."""
        now = self._clock()
        texts = self._queue.script("claim_callbacks", now, now + _CLAIM_SECONDS, limit)
        return tuple(Callback(**json.loads(text)) for text in texts)

    def delivered(self, callback: Callback) -> None:
        """Remove a callback that was delivered or given up."""
        name = callback.callback_id
        self._queue.commands(("ZREM", "callbacks", name), ("DEL", f"callback:{name}"))

    def failed(self, callback: Callback) -> bool:
        """Record a failed try. Returns whether there will be another one."""
        tried = replace(callback, tries=callback.tries + 1)
        if tried.tries >= TRIES:
            self.delivered(callback)
            return False
        self._keep(tried, self._clock() + delay_after(tried.tries))
        return True

    def count(self) -> int:
        """Number of callbacks in progress."""
        return int(self._queue.command("ZCARD", "callbacks"))

    def _keep(self, callback: Callback, due: float) -> None:
        name, text = callback.callback_id, json.dumps(asdict(callback))
        self._queue.commands(
            ("SET", f"callback:{name}", text, "EX", _KEPT_SECONDS), ("ZADD", "callbacks", due, name)
        )


def delay_after(tries: int) -> float:
    """Seconds from try number `tries`, counted from 1, to the next one."""
    return float(min(_FIRST_DELAY * _GROWTH ** (tries - 1), _LONGEST_DELAY))


def callback_of(session: Session) -> Callback:
    """The callback that reports the end of `session`, which has a `callback_url`."""
    ended = datetime.fromtimestamp(session.ended_at or 0.0, UTC)
    content = {
        "type": f"video.{session.state}",
        "timestamp": ended.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": _data(session),
    }
    return Callback(session.session_id, session.callback_url or "", json.dumps(content, ensure_ascii=False))


def _data(session: Session) -> dict[str, Any]:
    links = f"/api/{session.lane}"
    data: dict[str, Any] = {
        "session_id": session.session_id,
        "image_id": session.spec.image_id,
        "lane": session.lane,
        "status": session.state,
        "status_url": f"{links}/status/{session.session_id}",
        "user_data": session.user_data,
    }
    if session.outcome:
        data["download_url"] = f"{links}/download/{session.session_id}"
        data["video_seconds"] = session.outcome.video_seconds
        data["warnings"] = list(session.outcome.warnings)
    if session.failure:
        data["error"] = session.failure.to_json()
    return data
