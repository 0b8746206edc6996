"""What the service answers, as typed records. `record` always holds the complete answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

Lane = Literal["vip", "standard"]
"""`vip` is served first."""
AvatarState = Literal["processing", "ready", "failed"]
SessionState = Literal["queued", "generating", "ready", "failed", "cancelled"]
PreprocessMode = Literal["crop", "extcrop", "resize", "full", "extfull"]

_ENDED = frozenset({"ready", "failed", "cancelled"})


@dataclass(frozen=True)
class Problem:
    """Why an avatar or a video could not be made."""

    code: str
    message: str
    param: str | None
    retryable: bool
    """Whether asking again may succeed."""


@dataclass(frozen=True)
class Progress:
    """How far a video is."""

    stage: str
    frame: int
    total: int
    """Frames of the video; 0 while this is not known."""
    fps: float
    """Frames rendered per second."""
    eta_seconds: float | None


@dataclass(frozen=True)
class Avatar:
    """An uploaded source image and what is prepared from it."""

    image_id: str
    """sha256 of the image's bytes."""
    status: AvatarState
    preprocess_mode: PreprocessMode
    face_index: int
    """The face that speaks: 0 is the largest."""
    warnings: tuple[str, ...]
    problem: Problem | None
    """For a failed one."""
    record: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Session:
    """One request for a video."""

    session_id: str
    lane: Lane
    status: SessionState
    queue_position: int
    """1 is served next; 0 is not waiting."""
    progress: Progress | None
    warnings: tuple[str, ...]
    """What was left out or guessed."""
    problem: Problem | None
    """For a failed one."""
    record: Mapping[str, Any] = field(repr=False)

    @property
    def ended(self) -> bool:
        """Whether the session will not change any more."""
        return self.status in _ENDED


def avatar_of(answer: Mapping[str, Any]) -> Avatar:
    """The avatar of an answer to upload, status or list."""
    status = answer["status"]
    return Avatar(
        image_id=answer["image_id"],
        status="ready" if status == "already_processed" else status,
        preprocess_mode=answer["preprocess_mode"],
        face_index=answer.get("face_index", 0),
        warnings=tuple(answer.get("warnings", ())),
        problem=_problem_of(answer.get("error")),
        record=answer,
    )


def session_of(answer: Mapping[str, Any]) -> Session:
    """The session of an answer to generate or status, or of an event."""
    return Session(
        session_id=answer["session_id"],
        lane=cast(Lane, answer["lane"]),
        status=answer["status"],
        queue_position=answer.get("queue_position", 0),
        progress=_progress_of(answer.get("progress")),
        warnings=tuple(answer.get("warnings", ())),
        problem=_problem_of(answer.get("error")),
        record=answer,
    )


def _problem_of(error: Mapping[str, Any] | None) -> Problem | None:
    if error is None:
        return None
    return Problem(error["code"], error["message"], error.get("param"), bool(error.get("retryable")))


def _progress_of(progress: Mapping[str, Any] | None) -> Progress | None:
    if progress is None:
        return None
    return Progress(*(progress[name] for name in ("stage", "frame", "total", "fps", "eta_seconds")))
