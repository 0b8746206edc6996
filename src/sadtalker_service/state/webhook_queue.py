"""Callbacks: telling the one who asked for a video that it has come to its end.

They are kept on the queue's server until they are delivered or given up, so that no restart loses one. What
is sent follows Standard Webhooks (https://www.standardwebhooks.com).
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
"""Delays of 5 s, 16 s, 51 s, 3 min, 9 min, 28 min, 1 h: for receivers that are being restarted, and for those
that are being repaired."""
_CLAIM_SECONDS = 60.0
"""One that was claimed by a process that died meanwhile is tried again after that."""
_KEPT_SECONDS = 2 * 86_400


@dataclass(frozen=True)
class Callback:
    """A message that is to be delivered."""

    callback_id: str
    """The same for every try, so that receivers can drop what came twice: the session's id."""
    url: str
    body: str
    """JSON, the same for every try."""
    tries: int = 0
    """Tries so far."""


class WebhookQueue:
    """Callbacks that are under way. Every method raises `StoreUnavailable`."""

    def __init__(self, queue: redis.Redis, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970."""
        self._queue = QueueServer(queue)
        self._clock = clock

    def add(self, callback: Callback) -> None:
        """Deliver it as soon as can be. Adding the same once more changes nothing."""
        self._keep(callback, self._clock())

    def claim(self, limit: int = 20) -> tuple[Callback, ...]:
        """Callbacks that are due, for this caller alone."""
        now = self._clock()
        texts = self._queue.script("claim_callbacks", now, now + _CLAIM_SECONDS, limit)
        return tuple(Callback(**json.loads(text)) for text in texts)

    def delivered(self, callback: Callback) -> None:
        """It has arrived, or will not be tried again."""
        name = callback.callback_id
        self._queue.commands(("ZREM", "callbacks", name), ("DEL", f"callback:{name}"))

    def failed(self, callback: Callback) -> bool:
        """A try was in vain. Whether there will be another one."""
        tried = replace(callback, tries=callback.tries + 1)
        if tried.tries >= TRIES:
            self.delivered(callback)
            return False
        self._keep(tried, self._clock() + delay_after(tried.tries))
        return True

    def count(self) -> int:
        """Callbacks under way."""
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
    """What tells that `session`, which has a `callback_url`, has ended."""
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
