"""Request and response bodies of the video routes."""

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

SessionId = Field(
    examples=[SESSION_ID],
    description="Id of the session. Without API keys, anyone who knows it can get the video.",
)


class GenerateForm(BaseModel):
    """The form that requests a video, without its options. Those are `options.RenderOptions`."""

    model_config = ConfigDict(extra="allow")

    image_id: str = Field(
        description="From the response to the upload of the source image.",
        examples=[IMAGE_ID],
        pattern=f"^{SHA256.pattern}$",
    )
    audio_file: bytes | None = Field(
        None, description="The driven audio: any audio or video file with speech.", json_schema_extra=_FILE
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
        None,
        description="Video whose blinks the avatar copies (neural engine only).",
        json_schema_extra=_FILE,
    )
    ref_pose: bytes | None = Field(
        None,
        description="Video whose head motion the avatar copies (neural engine only).",
        json_schema_extra=_FILE,
    )
    background_file: bytes | None = Field(
        None, description="A picture behind the person, in place of `background`.", json_schema_extra=_FILE
    )
    transcript: str = Field(
        "",
        description="The words of `audio_file`, English: they are found in the sound, for captions.",
        max_length=20_000,
    )
    engine: str = Field("", description="Name of a loaded engine; empty for the default.", max_length=64)
    callback_url: str = Field(
        "", description="https address that is called when the session ends.", max_length=2000
    )
    user_data: str = Field(
        "", description="Returned unchanged with the status and the callback.", max_length=4000
    )


class SessionLinks(BaseModel):
    """Links to the next steps."""

    status: str
    events: str
    stream: str | None = Field(description="null for a transparent video, which has none.")
    download: str
    cancel: str
    captions: str = Field(description="WebVTT; `.srt` in place of `.vtt` for SubRip.")


class Performance(BaseModel):
    """Measured times of the video. The texts are for people, `seconds` is for programs."""

    total_time: str = Field(examples=["1.204s"])
    cache_load_time: str = Field(examples=["0.012s"])
    audio_process_time: str = Field(examples=["0.310s"])
    video_render_time: str = Field(examples=["0.850s"])
    estimated_without_cache: str = Field(
        examples=["1.530s"], description="The total plus the time that computing the cached parts took."
    )
    speedup: str = Field(examples=["1.3x faster"])
    seconds: dict[str, float] = Field(description="The same times as numbers, and the time of each stage.")
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
    media_type: str = Field(examples=["video/mp4"])


class GenerateAnswer(BaseModel):
    """The request was accepted (202), or its video already exists (200)."""

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
    queue_position: int = Field(ge=0, description="1 is served next; 0 if the session is not waiting.")
    estimated_time: str
    estimated_seconds: float | None = Field(
        description="Seconds until the video is ready; null until videos have been measured."
    )
    performance_boost: str
    next_step: str
    settings: dict[str, Any] = Field(description="The fields as they are applied.")
    warnings: list[str] = Field(description="What was left out or guessed.")
    links: SessionLinks
    video_ready: bool
    download_url: str | None
    performance: Performance | None


class QueueInfo(BaseModel):
    """Load of the session's lane."""

    queue_size: int = Field(ge=0, description="Number of waiting sessions in this lane.")
    processing: bool = Field(description="Whether a video is being rendered.")
    current_session: str | None = Field(description="First eight characters of the id of a running session.")


class Progress(BaseModel):
    """Progress of a video."""

    stage: str
    frame: int = Field(ge=0)
    total: int = Field(ge=0, description="Frames of the video; 0 until known.")
    percent: float = Field(ge=0, le=100)
    fps: float = Field(ge=0, description="Frames rendered per second.")
    eta_seconds: float | None


class SessionStatus(BaseModel):
    """State and result of a session."""

    session_id: str = SessionId
    status: SessionState
    lane: Lane
    queued_at: str = Field(description="ISO 8601, UTC.")
    started_at: str | None = None
    completed_at: str | None = None
    message: str
    queue_info: QueueInfo
    queue_position: int = Field(0, ge=0, description="1 is served next; 0 if the session is not waiting.")
    estimated_seconds: float | None = Field(
        None, description="Seconds until the video is ready, for a waiting session."
    )
    progress: Progress | None = None
    attempt: int = Field(0, ge=0, description="Number of starts so far; above 1 if a worker was lost.")
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
    """A session whose cancellation was requested."""

    session_id: str = SessionId
    status: SessionState = Field(description="Still `generating` until the worker has stopped.")
    message: str
