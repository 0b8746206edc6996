"""Reads what the scripts of the sessions return."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sadtalker_service.domain import VideoResult
from sadtalker_service.settings import Settings
from sadtalker_service.state.records import LANES, Lane, QueuePosition, Session
from sadtalker_service.state.session_fields import pairs, read_session

WORKER_LIVES_SECONDS = 10.0
"""Estimates count a worker for this long after its last heartbeat. It sends one every two seconds."""


@dataclass(frozen=True)
class LaneLoad:
    """Load of a lane."""

    waiting: int
    oldest_at: float | None
    """When the longest-waiting session was accepted; None for an empty lane."""


@dataclass(frozen=True)
class KnownResult:
    """A finished video, which equal requests get."""

    image_id: str
    outcome: VideoResult
    created_at: float


def read_view(raw: Sequence[Sequence[bytes]]) -> Session:
    """The session whose `view` a script returned."""
    return read_session(pairs(raw[0]), pairs(raw[1]))


def _queue_position(raw: Sequence[Any]) -> QueuePosition | None:
    if not raw:
        return None
    ahead, before, own, workers = raw
    known = before and own and int(workers)
    return QueuePosition(int(ahead), float(before) / int(workers) + float(own) if known else None)


def status_script(session_id: str, now: str, settings: Settings) -> tuple[str, str, str, float, int]:
    """Name and arguments of the script for `read_status`; `now` is empty for the server's time."""
    return "read_status", session_id, now, WORKER_LIVES_SECONDS, settings.vip_in_a_row


def read_status_reply(raw: Sequence[Any]) -> tuple[Session, QueuePosition | None] | None:
    """The result of that script."""
    return (read_view(raw), _queue_position(raw[2])) if raw else None


def read_lanes(raw: Sequence[Any]) -> dict[Lane, LaneLoad]:
    """The result of the script `lanes`."""
    return {
        lane: LaneLoad(int(waiting), float(oldest_at) if oldest_at else None)
        for lane, (waiting, oldest_at) in zip(LANES, raw, strict=True)
    }


def read_ids(raw: Iterable[bytes]) -> tuple[str, ...]:
    """Session ids as the server stores them."""
    return tuple(item.decode() for item in raw)


def read_running(raw: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
    """The result of the script `running`."""
    texts = read_ids(raw)
    return tuple(zip(texts[::2], texts[1::2], strict=True))
