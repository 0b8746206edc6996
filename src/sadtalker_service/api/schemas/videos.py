"""Videos and the sessions in which they are made, over the wire."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sadtalker_service.api.schemas.avatars import IMAGE_ID
from sadtalker_service.api.schemas.problem import Problem
from sadtalker_service.domain import SHA256
from sadtalker_service.speech.voices.markup import FASTEST, SLOWEST
from sadtalker_service.speech.voices.speaker import MOST_CHARACTERS
from sadtalker_service.state.records import Lane, SessionState

SESSION_ID = "0b8f8f6e-5f0e-4a53-9d0f-3f0f5f1f2f3f"
_FILE: dict[str, JsonValue] = {"type": "string", "format": "binary"}
_LINKS_EXAMPLE: JsonValue = {
    "status": f"/api/vip/status/{SESSION_ID}",
    "events": f"/api/vip/events/{SESSION_ID}",
    "stream": f"/api/vip/stream/{SESSION_ID}",
    "download": f"/api/vip/download/{SESSION_ID}",
    "cancel": f"/api/vip/session/{SESSION_ID}",
    "captions": f"/api/vip/captions/{SESSION_ID}.vtt",
}

SessionId = Field(examples=[SESSION_ID], description="Names the session; whoever knows it has the video.")


class GenerateForm(BaseModel):
    """The form with which a video is asked for, but for its options: those are `options.RenderOptions`."""

    model_config = ConfigDict(extra="allow")

    image_id: str = Field(
        description="From the upload of the source image.", examples=[IMAGE_ID], pattern=f"^{SHA256.pattern}$"
    )
    audio_file: bytes | None = Field(
        None, description="Speech: any audio or video file.", json_schema_extra=_FILE
    )
    text: str = Field(
        "",
        description="A text to be spoken, in place of `audio_file`: plain, or with SSML.",
        max_length=MOST_CHARACTERS,
    )
    voice: str = Field("", description="Id of a voice for `text`; empty: the default one.", max_length=64)
    rate: float = Field(1.0, description="How fast `text` is spoken.", ge=SLOWEST, le=FASTEST)
    language: str = Field(
        "", description="Language of `text`, in place of a voice: `en-gb`, `es`.", max_length=35
    )
    ref_eyeblink: bytes | None = Field(
        None, description="Video whose blinks are taken over (neural engine).", json_schema_extra=_FILE
    )
    ref_pose: bytes | None = Field(
        None, description="Video whose head motion is taken over (neural engine).", json_schema_extra=_FILE
    )
    transcript: str = Field(
        "",
        description="The words of `audio_file`, English: they are found in the sound, for captions.",
        max_length=20_000,
    )
    engine: str = Field("", description="An engine that a worker has; empty: the default one.", max_length=64)
    callback_url: str = Field(
        "", description="https address that is told when the session ends.", max_length=2000
    )
    user_data: str = Field("", description="Given back with the status and the callback.", max_length=4000)


class SessionLinks(BaseModel):
    """Where to go on."""

    status: str
    events: str
    stream: str
    download: str
    cancel: str
    captions: str = Field(description="WebVTT; `.srt` in place of `.vtt` for SubRip.")


class Performance(BaseModel):
    """What the video took: measured. The texts are for people, `seconds` for programs."""

    total_time: str = Field(examples=["1.204s"])
    cache_load_time: str = Field(examples=["0.012s"])
    audio_process_time: str = Field(examples=["0.310s"])
    video_render_time: str = Field(examples=["0.850s"])
    estimated_without_cache: str = Field(
        examples=["1.530s"], description="The total, and what computing the cached parts had cost."
    )
    speedup: str = Field(examples=["1.3x faster"])
    seconds: dict[str, float] = Field(description="The same as numbers, and what each stage took.")
    speedup_factor: float
    real_time_factor: float | None = Field(description="Seconds of video per second of work.")
    cache_hits: list[str]
    cache_misses: list[str]


class VideoFacts(BaseModel):
    """The finished video."""

    width: int
    height: int
    fps: int
    frames: int
    seconds: float
    size_bytes: int


class GenerateAnswer(BaseModel):
    """A request for a video was taken on (202), or its video is there (200)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "session_id": SESSION_ID,
                    "status": "queued",
                    "lane": "vip",
                    "queue_position": 1,
                    "estimated_time": "about 1.4 seconds",
                    "estimated_seconds": 1.4,
                    "performance_boost": "3.1x faster than a first request, as measured here",
                    "next_step": f"GET /api/vip/status/{SESSION_ID}",
                    "settings": {"enhancer": "gfpgan", "quality": "medium", "still_mode": False},
                    "warnings": ["enhancer gfpgan was not applied: the mesh engine has none."],
                    "links": _LINKS_EXAMPLE,
                    "video_ready": False,
                    "download_url": None,
                    "performance": None,
                }
            ]
        }
    )

    session_id: str = SessionId
    status: SessionState
    lane: Lane
    queue_position: int = Field(ge=0, description="1 is served next; 0 for one that does not wait.")
    estimated_time: str
    estimated_seconds: float | None = Field(description="Until the video; null while nothing was measured.")
    performance_boost: str
    next_step: str
    settings: dict[str, Any] = Field(description="The fields as they are applied.")
    warnings: list[str] = Field(description="What was left out or guessed.")
    links: SessionLinks
    video_ready: bool
    download_url: str | None
    performance: Performance | None


class QueueInfo(BaseModel):
    """The lane of the session."""

    queue_size: int = Field(ge=0, description="Sessions that wait in this lane.")
    processing: bool = Field(description="Whether any video is being made.")
    current_session: str | None = Field(description="First eight characters of the id of a running session.")


class Progress(BaseModel):
    """How far a video is."""

    stage: str
    frame: int = Field(ge=0)
    total: int = Field(ge=0, description="Frames of the video, 0 while that is not known.")
    percent: float = Field(ge=0, le=100)
    fps: float = Field(ge=0, description="Frames rendered per second.")
    eta_seconds: float | None


class SessionStatus(BaseModel):
    """A session."""

    session_id: str = SessionId
    status: SessionState
    lane: Lane
    queued_at: str = Field(description="ISO 8601, UTC.")
    started_at: str | None = None
    completed_at: str | None = None
    message: str
    queue_info: QueueInfo
    queue_position: int = Field(0, ge=0, description="1 is served next; 0 for one that does not wait.")
    estimated_seconds: float | None = Field(None, description="Until the video, for one that waits.")
    progress: Progress | None = None
    attempt: int = Field(0, ge=0, description="Starts so far: above 1 when a worker was lost.")
    video_ready: bool = False
    download_url: str | None = None
    performance: Performance | None = None
    video: VideoFacts | None = None
    error: Problem | None = None
    settings: dict[str, Any]
    warnings: list[str] = []
    user_data: str | None = None
    links: SessionLinks


class CancelAnswer(BaseModel):
    """A session that was asked to end."""

    session_id: str = SessionId
    status: SessionState = Field(description="`generating` until the worker has stopped.")
    message: str
