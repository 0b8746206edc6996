"""Live sessions over the wire."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sadtalker_service.api.schemas.avatars import IMAGE_ID
from sadtalker_service.api.schemas.videos import SESSION_ID
from sadtalker_service.jobs.live_service import LIVE_OPTIONS
from sadtalker_service.options.render_options import OPTION_SCHEMA
from sadtalker_service.state.live_records import EndReason, LiveState, RecordingStatus


class LiveForm(BaseModel):
    """The body of a request for a live session, without the options of `RenderOptions`."""

    model_config = ConfigDict(extra="allow")

    image_id: str = Field(description="Of the uploaded source image.", examples=[IMAGE_ID])
    engine: str | None = Field(None, max_length=64, description="Engine; the default one if it is left out.")
    voice: str = Field("", max_length=200, description="Voice of `agent.say` where it names none.")
    record: bool = Field(
        False, description="Keep what is shown as a video, for download after the end.", strict=True
    )


class LiveLinks(BaseModel):
    """Where the session is reached."""

    websocket: str | None = Field(
        None, description="WebSocket, with the session's token; only in the answer to `POST /api/live`."
    )
    relay: str | None = Field(
        None, description="The same through this service, where `websocket` leads directly to a worker."
    )
    offer: str | None = Field(None, description="WebRTC offer, with `POST`; only in the same answer.")
    recording: str | None = Field(None, description="The video of the recording, once it is ready.")
    status: str
    end: str = Field(description="Ends the session, with `DELETE`.")


class LiveResume(BaseModel):
    """How to go on after the session has ended."""

    method: Literal["POST"] = "POST"
    href: str = "/api/live"
    body: dict[str, Any]


class LiveVideo(BaseModel):
    """The picture, once it is known."""

    width: int
    height: int
    fps: int


class LiveRecordingFacts(BaseModel):
    """The recording of a session. Its video is one like others: same links, same lifetime."""

    status: RecordingStatus = Field(
        description="`recording`, `stopped`: the session goes on without it, `saving`: the session has ended"
        " and the video is being made, `ready`, `lost`, `deleted`."
    )
    seconds: float = Field(description="Length so far.")
    message: str = Field(description="What this means, and what to do.")
    video: str | None = Field(None, description="Status of the video, once it is ready.")


class IceServerFacts(BaseModel):
    """A STUN or TURN server, as `iceServers` of a browser's `RTCPeerConnection` takes it."""

    urls: list[str]
    username: str | None = None
    credential: str | None = None


class LiveAnswer(BaseModel):
    """A live session."""

    session_id: str = Field(examples=[SESSION_ID])
    status: LiveState = Field(
        description="`waiting` for its client, `connected`, `away`: the client has lost its connection and"
        " may come back, `closed`."
    )
    reason: EndReason | None = Field(None, description="Why it is closed.")
    message: str
    connect_within: float = Field(description="Seconds for which the slot is kept for a client that is away.")
    video: LiveVideo | None = None
    frames: int = Field(0, description="Frames that were drawn.")
    late_frames: int = Field(0, description="Frames that were ready only after they were due.")
    latency_ms: float | None = Field(
        None, description="From the arrival of sound to its frame, of the latest utterance."
    )
    max_seconds: float = Field(description="Longest duration of the session.")
    recording: LiveRecordingFacts | None = Field(None, description="Only with `record`.")
    ice_servers: list[IceServerFacts] = Field(
        [], description="For WebRTC; only in the answer to `POST /api/live`."
    )
    links: LiveLinks
    resume: LiveResume | None = Field(None, description="The request that starts the session again.")
    warnings: list[str] = []


class LiveOffer(BaseModel):
    """A WebRTC session description."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["offer", "answer"]
    sdp: str = Field(min_length=1, max_length=100_000)


def live_schema() -> dict[str, Any]:
    """The JSON schema of the body of `POST /api/live`."""
    schema = LiveForm.model_json_schema()
    options = {
        "preprocess_mode" if name == "preprocess" else name: dict(OPTION_SCHEMA[name])
        for name in LIVE_OPTIONS
    }
    return {**schema, "properties": {**schema["properties"], **options}, "additionalProperties": False}
