"""The records that API, queue and workers exchange as JSON. `to_json` and `from_json` are inverse.

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
"""Final states."""

AvatarState = Literal["processing", "ready", "failed"]


@dataclass(frozen=True)
class Failure(JsonRecord):
    """Why something failed, with the fields of the error object in a response."""

    code: str
    message: str
    retryable: bool = False
    param: str | None = None


@dataclass(frozen=True)
class VideoSpec(JsonRecord):
    """The video of a session: everything a worker needs, and everything that makes two requests equal."""

    image_id: str
    """SHA-256 of the source image's bytes."""
    audio_id: str | None
    """SHA-256 of the driven audio's bytes; None for an idle video."""
    options: RenderOptions
    """Only what the engine applies, because the rest does not change the video."""
    engine: str
    """Name of the engine, never empty."""
    engine_version: str
    audio_seconds: float
    """Length of the driven audio, or of the idle video."""
    ref_eyeblink_id: str | None = None
    """SHA-256 of a reference video's bytes. The file is stored with the driven audio files."""
    ref_pose_id: str | None = None
    audio_reading: SoundReading | None = None
    """How the audio is read, according to its inspection; None for an idle video."""
    spoken: SpokenText | None = None
    """The text that a voice speaks; then `audio_id` names it, and `audio_seconds` is an estimate."""
    transcript: str = ""
    """The words of the driven audio, for captions; empty if none were sent."""
    timeout_factor: float = 1.0
    """Factor of the engine on the usual time limit."""


@dataclass(frozen=True)
class Session(JsonRecord):
    """One request for a video, from its acceptance to its end."""

    session_id: str
    lane: Lane
    spec: VideoSpec
    result_key: str
    """Name of its video; equal for equal requests (`state.result_key`)."""
    queued_at: float
    state: SessionState = "queued"
    started_at: float | None = None
    """Start of the last attempt."""
    ended_at: float | None = None
    attempt: int = 0
    """Starts so far. The number of the running attempt invalidates all earlier ones."""
    leader: str | None = None
    """Equal session whose work this one shares; None for one that is worked on itself."""
    run_as: str | None = None
    """Session id under which its video is or was rendered, if that is another one: that of its leader, or
    of a cancelled session whose running work passed to this one."""
    reused: bool = False
    """Whether the video already existed."""
    moment: Progress | None = None
    outcome: VideoResult | None = None
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    """What was left out of the request or its driven audio, or guessed."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The fields of the request, for display."""
    callback_url: str | None = None
    user_data: str | None = None
    request_id: str | None = None
    owner: str = LOCAL_OWNER
    """Owner, who may see it (`state.viewer`)."""

    @property
    def run_id(self) -> str:
        """Session id that the worker uses. With `attempt` it names the media stream."""
        return self.run_as or self.session_id


@dataclass(frozen=True)
class QueuePosition(JsonRecord):
    """Position of a queued session."""

    ahead: int
    """Sessions served before it, without running ones."""
    eta_seconds: float | None
    """Seconds until its video is ready, from measured rates; None without measurements or workers."""


@dataclass(frozen=True)
class AvatarRecord(JsonRecord):
    """One face of an uploaded source image in one preprocess mode."""

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
    """Stage -> seconds its computation took."""
    face_box: tuple[float, float, float, float] | None = None
    """x0, y0, x1, y1 in pixels of the source image."""
    face_score: float | None = None
    """0..1."""
    failure: Failure | None = None
    face_index: int = 0
    """Which of the source image's faces it is: 0 is the largest."""
    faces: tuple[tuple[float, float, float, float], ...] = ()
    """Boxes of all faces like `face_box`, the largest first; empty until known."""
    warnings: tuple[str, ...] = ()
    """What was guessed or left out in the preparation."""

    @property
    def slot(self) -> str:
        """Its name among the avatars of its source image."""
        return slot_of(self.mode, self.face_index)


def slot_of(mode: PreprocessMode, face_index: int) -> str:
    """Name of an avatar within its source image: `full`, or `full.1` for a face other than the largest."""
    return f"{mode}.{face_index}" if face_index else mode


def mode_and_face(slot: str) -> tuple[PreprocessMode, int]:
    """The arguments of `slot_of`."""
    mode, _, face = slot.partition(".")
    return cast("PreprocessMode", mode), int(face or 0)


@dataclass(frozen=True)
class KnownEngine(JsonRecord):
    """An engine as published by a worker."""

    card: EngineCard


@dataclass(frozen=True)
class WorkerFacts(JsonRecord):
    """State that a worker reports with each heartbeat."""

    queues: tuple[str, ...]
    """Queues it serves, in order."""
    engine: str | None = None
    """Name of its loaded engine; None until it is loaded."""
    state: Literal["starting", "idle", "busy", "stopping"] = "starting"
    session_id: str | None = None
    """Session it is working on."""
    seen_at: float = 0.0
    """Time of the heartbeat, set by the server."""
    obstacles: Mapping[str, str] = field(default_factory=dict)
    """Installed engine that cannot run there -> the reason, and what to do."""
