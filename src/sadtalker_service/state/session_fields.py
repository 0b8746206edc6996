"""How a session is stored on the server: a hash of the fields that change, and one JSON text of the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from sadtalker_service.domain import Progress, VideoResult
from sadtalker_service.errors import VideoDeleted
from sadtalker_service.state.failures import failure_of
from sadtalker_service.state.records import Failure, Session, SessionState

_CHANGING = {
    "state": "queued",
    "started_at": None,
    "ended_at": None,
    "attempt": 0,
    "leader": None,
    "run_as": None,
    "reused": False,
    "moment": None,
    "outcome": None,
    "failure": None,
}
"""Fields of `Session` that the scripts change, with their values in the JSON text."""


_VIDEO_DELETED = failure_of(VideoDeleted("The video was deleted. Request it again."))


def constant_part(session: Session) -> str:
    """JSON of the fields that never change."""
    return json.dumps(replace(session, **cast("Any", _CHANGING)).to_json(), separators=(",", ":"))


def pairs(flat: Iterable[bytes]) -> dict[str, bytes]:
    """A hash as a script returns it: name, value, name, value, ..."""
    values = iter(flat)
    return {name.decode(): value for name, value in zip(values, values, strict=True)}


def read_session(fields: Mapping[str, bytes], work: Mapping[str, bytes] | None = None) -> Session:
    """The session with these fields. A waiter shows the state of `work`, the fields of its leader. A session
    whose video was deleted is no longer ready."""
    base = Session.from_json(json.loads(fields["base"]))
    shown = work or fields
    state = cast("SessionState", shown["state"].decode())
    outcome, failure, moment = (_json(shown.get(name)) for name in ("outcome", "failure", "moment"))
    leader = _text(fields.get("leader"))
    kept_failure = Failure.from_json(failure) if failure else None
    if "video_deleted" in fields:
        state, outcome, kept_failure = "failed", None, _VIDEO_DELETED
    return replace(
        base,
        state=state,
        started_at=_number(shown.get("started_at")),
        ended_at=_number(fields.get("ended_at")),
        attempt=int(shown.get("attempt", 0)),
        leader=leader,
        run_as=_text(shown.get("run_as")) or leader,
        reused=fields.get("reused") == b"1",
        moment=Progress.from_json(moment) if moment else None,
        outcome=VideoResult.from_json(outcome) if outcome else None,
        failure=kept_failure,
    )


def _json(value: bytes | None) -> Mapping[str, Any] | None:
    return json.loads(value) if value else None


def _text(value: bytes | None) -> str | None:
    return value.decode() if value else None


def _number(value: bytes | None) -> float | None:
    return float(value) if value else None
