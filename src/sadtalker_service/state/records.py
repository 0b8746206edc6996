"""The records that API, queue and workers exchange. JSON-ready: `to_json` and `from_json` are inverse.

Times are seconds since 1970, durations seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from sadtalker_service.domain import (
    JsonRecord,
    PreprocessMode,
    Progress,
    SoundReading,
    SpokenText,
    VideoResult,
)
from sadtalker_service.engines.port import EngineCard
from sadtalker_service.options import RenderOptions
from sadtalker_service.state.viewer import LOCAL_OWNER

Lane = Literal["vip", "standard"]
"""Two lanes of requests; `vip` is served first."""

LANES: tuple[Lane, ...] = ("vip", "standard")

SessionState = Literal["queued", "generating", "ready", "failed", "cancelled"]

ENDED: frozenset[SessionState] = frozenset({"ready", "failed", "cancelled"})
"""States that do not change any more."""

AvatarState = Literal["processing", "ready", "failed"]


@dataclass(frozen=True)
class Failure(JsonRecord):
    """Why something ended badly, as the error object of an answer says it."""

    code: str
    message: str
    retryable: bool = False
    param: str | None = None


@dataclass(frozen=True)
class VideoSpec(JsonRecord):
    """What a session shall become: all that a worker needs, and all that makes two requests equal."""

    image_id: str
    """sha256 of the source image's bytes."""
    audio_id: str | None
    """sha256 of the recording's bytes; None for an idle video."""
    options: RenderOptions
    """Only what the engine will apply: what it leaves out makes no other video."""
    engine: str
    """Name of the engine, resolved."""
    engine_version: str
    audio_seconds: float
    """Length of the recording, or of the idle video."""
    ref_eyeblink_id: str | None = None
    """sha256 of a reference video's bytes, kept among the recordings."""
    ref_pose_id: str | None = None
    audio_reading: SoundReading | None = None
    """How the recording's sound is read, as its inspection found; None for an idle video."""
    spoken: SpokenText | None = None
    """The text that a voice speaks; then `audio_id` names it, and `audio_seconds` is an estimate."""
    transcript: str = ""
    """The words of the recording, for captions; empty where nobody gave them."""
    timeout_factor: float = 1.0
    """How many times the usual time it may take: the engine's."""


@dataclass(frozen=True)
class Session(JsonRecord):
    """One request for a video, from its acceptance to its end."""

    session_id: str
    lane: Lane
    spec: VideoSpec
    result_key: str
    """Name of the video that it becomes: equal for equal requests (`state.result_key`)."""
    queued_at: float
    state: SessionState = "queued"
    started_at: float | None = None
    """Start of the last attempt."""
    ended_at: float | None = None
    attempt: int = 0
    """Starts so far; the number of the running one fences off all earlier ones."""
    leader: str | None = None
    """Session whose work this one shares, being equal to it; None for one that is worked on itself."""
    run_as: str | None = None
    """Session id under which its video is made or was made, where that is another one: its leader's, or that
    of a session that was cancelled and left its running work to this one."""
    reused: bool = False
    """Whether the video was there already."""
    moment: Progress | None = None
    outcome: VideoResult | None = None
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    """What of the request and of its recording is left out or guessed."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The request's fields as they were given, to be shown again."""
    callback_url: str | None = None
    user_data: str | None = None
    request_id: str | None = None
    owner: str = LOCAL_OWNER
    """Who may see it (`state.viewer`)."""

    @property
    def run_id(self) -> str:
        """Session id that the worker knows: the name of the media stream, together with `attempt`."""
        return self.run_as or self.session_id


@dataclass(frozen=True)
class QueuePosition(JsonRecord):
    """Where a queued session stands."""

    ahead: int
    """Sessions that will be served before it, running ones not among them."""
    eta_seconds: float | None
    """Until its video is ready, from measured rates; None while nothing was measured or no worker lives."""


@dataclass(frozen=True)
class AvatarRecord(JsonRecord):
    """A face of a source image that was uploaded, in one preprocess mode."""

    image_id: str
    mode: PreprocessMode
    state: AvatarState
    uploaded_at: float
    changed_at: float
    width: int
    height: int
    size_bytes: int
    media_type: str
    stage: str | None = None
    """Stage that is being computed."""
    stages: tuple[str, ...] = ()
    """Stages computed so far."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Stage -> seconds that its preparation took."""
    face_box: tuple[float, float, float, float] | None = None
    """x0, y0, x1, y1 in pixels of the source image."""
    face_score: float | None = None
    """0..1."""
    failure: Failure | None = None
    face_index: int = 0
    """Which of the picture's faces it is: 0 is the largest."""
    faces: tuple[tuple[float, float, float, float], ...] = ()
    """Boxes of all faces, as `face_box`, the largest first; empty before they are known."""
    warnings: tuple[str, ...] = ()
    """What was guessed or left out in its preparation."""

    @property
    def slot(self) -> str:
        """What names it among the avatars of its picture."""
        return slot_of(self.mode, self.face_index)


def slot_of(mode: PreprocessMode, face_index: int) -> str:
    """Name of an avatar among those of its picture: `full`, or `full.1` for another face than the largest."""
    return f"{mode}.{face_index}" if face_index else mode


def mode_and_face(slot: str) -> tuple[PreprocessMode, int]:
    """What `slot_of` was given."""
    mode, _, face = slot.partition(".")
    return cast("PreprocessMode", mode), int(face or 0)


@dataclass(frozen=True)
class KnownEngine(JsonRecord):
    """An engine as a worker published it."""

    card: EngineCard


@dataclass(frozen=True)
class WorkerFacts(JsonRecord):
    """What a worker says of itself with each heartbeat."""

    queues: tuple[str, ...]
    """Queues that it serves, in order."""
    engine: str | None = None
    """Name of the engine that it keeps warm; None before it is loaded."""
    state: Literal["starting", "idle", "busy", "stopping"] = "starting"
    session_id: str | None = None
    """Session that it works on."""
    seen_at: float = 0.0
    """Time of the heartbeat; the board writes it."""
    obstacles: Mapping[str, str] = field(default_factory=dict)
    """Engine that is installed and cannot run there -> why, and what to do."""
