"""Records of live sessions, and of the workers that carry them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from sadtalker_service.domain import JsonRecord
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.render_options import changed

LiveState = Literal["waiting", "connected", "away", "closed"]
"""`waiting` for the first connection of its client, `connected`, `away`: the client has lost its connection
and may come back, `closed`: ended."""

EndReason = Literal[
    "ended_by_client",
    "ended_by_request",
    "never_connected",
    "client_gone",
    "idle",
    "time_limit",
    "avatar_deleted",
    "worker_lost",
    "worker_stopped",
    "failed",
]


@dataclass(frozen=True)
class LiveSpec(JsonRecord):
    """What a live session draws."""

    image_id: str
    """SHA-256 of the source image's bytes."""
    options: RenderOptions
    engine: str
    engine_version: str
    voice: str = ""
    """Voice of texts that name none; empty for the default one."""
    record: bool = False
    """Whether what it shows becomes a video."""


StopReason = Literal["length", "storage"]
"""Why a recording stops before its session: it is as long as it may be, or it cannot be written."""

RecordingStatus = Literal["recording", "stopped", "saving", "ready", "lost", "deleted"]
"""`stopped`: the session goes on without it. `saving`: the session has ended, the video is being made.
`lost`: there will be no video. `deleted`: there was one."""


@dataclass(frozen=True)
class LiveRecording(JsonRecord):
    """The recording of a live session."""

    status: RecordingStatus
    seconds: float = 0.0
    """Its length so far."""
    message: str = ""
    """Why it has stopped or is lost, and what to do. A sentence for users, or empty."""


@dataclass(frozen=True)
class LiveFigures(JsonRecord):
    """What a session has measured so far."""

    frames: int = 0
    """Frames that were drawn."""
    late: int = 0
    """Frames that were ready only after they were due."""
    latency: float | None = None
    """Seconds from the arrival of sound to the sending of the frame that begins to speak it, of the latest
    utterance."""
    width: int = 0
    height: int = 0
    recorded: float = 0.0
    """Seconds that were recorded."""
    stopped: StopReason | None = None
    """Why the recording has stopped before the session."""


@dataclass(frozen=True)
class LiveWorker(JsonRecord):
    """A process that carries live sessions."""

    address: str
    """`unix:///path` or `tcp://host:port`."""
    slots: int
    load: float
    """Measured, 0 to 1: its share of the processors, or of late frames, whichever is larger."""
    engines: tuple[str, ...]
    public_url: str = ""
    """URL at which clients reach it directly, if they can."""


@dataclass(frozen=True)
class LiveSession:
    """A live session as the server keeps it."""

    session_id: str
    spec: LiveSpec
    owner: str
    state: LiveState
    worker: str
    address: str
    """Of its worker."""
    public_url: str
    """Of its worker, for clients; empty if they go through the API."""
    token_digest: str = field(repr=False)
    """SHA-256 of the token of its client, hexadecimal."""
    started_at: float
    ended_at: float | None = None
    reason: EndReason | None = None
    """Why it has ended."""
    figures: LiveFigures = field(default_factory=LiveFigures)
    began: bool = False
    """Whether its client has ever connected."""
    saved: LiveRecording | None = None
    """What has become of its recording, once that is known."""


RESUMABLE: frozenset[EndReason] = frozenset(
    {"never_connected", "client_gone", "idle", "time_limit", "worker_lost", "worker_stopped", "failed"}
)
"""Ends after which it makes sense to send the same request again."""


def recording_key(session_id: str) -> str:
    """Name of the video of a live session: 64 hexadecimal digits, as of other videos."""
    return hashlib.sha256(f"live session {session_id}".encode()).hexdigest()


def request_body(spec: LiveSpec) -> dict[str, Any]:
    """The body of `POST /api/live` that asks for this session again."""
    options = changed(spec.options)
    if "preprocess" in options:
        options["preprocess_mode"] = options.pop("preprocess")
    body: dict[str, Any] = {"image_id": spec.image_id, "engine": spec.engine, **options}
    if spec.voice:
        body["voice"] = spec.voice
    if spec.record:
        body["record"] = True
    return body


def read_live_session(session_id: str, fields: Mapping[str, bytes]) -> LiveSession:
    """The session with these fields of its hash."""
    text = {name: value.decode() for name, value in fields.items()}
    return LiveSession(
        session_id=session_id,
        spec=LiveSpec.from_json(json.loads(text["base"])),
        owner=text["owner"],
        state=cast("LiveState", text["state"]),
        worker=text["worker"],
        address=text["address"],
        public_url=text["public_url"],
        token_digest=text["token"],
        started_at=float(text["started_at"]),
        ended_at=float(text["ended_at"]) if "ended_at" in text else None,
        reason=cast("EndReason | None", text.get("reason")),
        figures=LiveFigures.from_json(json.loads(text["figures"])) if "figures" in text else LiveFigures(),
        began="figures" in text,
        saved=LiveRecording.from_json(json.loads(text["recording"])) if "recording" in text else None,
    )
