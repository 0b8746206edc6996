"""Request and response bodies of the avatar routes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sadtalker_service.api.schemas.problem import Problem
from sadtalker_service.domain import SHA256, PreprocessMode
from sadtalker_service.state.records import AvatarState

IMAGE_ID = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
NOT_MEASURED = "not measured yet"
"""Text used for a duration or a ratio that has not been measured."""

ImageId = Field(
    description="SHA-256 of the source image's bytes.", examples=[IMAGE_ID], pattern=f"^{SHA256.pattern}$"
)

_SUMMARY_EXAMPLE: JsonValue = {
    "image_hash": IMAGE_ID,
    "cached_components": {
        "face_detection": {"cached": True, "ttl": 2591980, "size_bytes": 5920},
        "3dmm_coeffs": {"cached": True, "ttl": "permanent", "size_bytes": 2210},
        "visemes": {"cached": False, "ttl": None, "size_bytes": 0},
    },
    "total_cache_size": 8130,
    "cache_coverage": 66.7,
}


class UploadForm(BaseModel):
    """The form that uploads a source image."""

    model_config = ConfigDict(extra="allow")

    image_file: bytes = Field(
        description="JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP or GIF with a face. An MP4, WebM or MOV also"
        " works; its best frame becomes the source image.",
        json_schema_extra={"type": "string", "format": "binary"},
    )
    preprocess_mode: PreprocessMode = Field(
        "full", description="How much of the source image is animated, as in SadTalker."
    )
    face_index: int = Field(0, ge=0, description="Which face speaks if there are several; 0 is the largest.")


class CachedComponent(BaseModel):
    """The cached artefact of one stage."""

    cached: bool
    ttl: int | Literal["permanent"] | None = Field(description="Seconds until it expires.")
    size_bytes: int = Field(ge=0)


class CacheSummary(BaseModel):
    """The cached artefacts of a source image."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SUMMARY_EXAMPLE]})

    image_hash: str = ImageId
    cached_components: dict[str, CachedComponent] = Field(description="Stage -> its cached artefact.")
    total_cache_size: int = Field(ge=0, description="Bytes.")
    cache_coverage: float = Field(ge=0, le=100, description="Percentage of the stages that are cached.")


class AvatarLinks(BaseModel):
    """Links to the next steps."""

    status: str
    summary: str
    generate: str


class UploadAnswer(BaseModel):
    """The source image was accepted, or its avatar already exists."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image_id": IMAGE_ID,
                    "status": "processing",
                    "preprocess_mode": "full",
                    "estimated_time": "about 0.3 seconds (first time only)",
                    "message": "The avatar is being prepared.",
                    "next_step": f"GET /api/avatar/status/{IMAGE_ID}?preprocess_mode=full",
                    "cached_stages": [],
                    "cache_summary": None,
                    "warnings": [],
                    "links": {
                        "status": f"/api/avatar/status/{IMAGE_ID}?preprocess_mode=full",
                        "summary": f"/api/image/{IMAGE_ID}/summary",
                        "generate": "/api/vip/generate",
                    },
                }
            ]
        }
    )

    image_id: str = ImageId
    status: Literal["processing", "already_processed"]
    preprocess_mode: PreprocessMode
    face_index: int = Field(0, ge=0, description="The face that speaks; 0 is the largest.")
    estimated_time: str = Field(description="Expected time of the preparation, from earlier measurements.")
    message: str
    next_step: str
    cached_stages: list[str] = Field(description="Stages whose artefacts are cached.")
    cache_summary: CacheSummary | None = None
    warnings: list[str] = []
    links: AvatarLinks


class AvatarProgress(BaseModel):
    """Progress of the preparation."""

    stage: str | None = Field(description="Stage that is being computed.")
    done: int = Field(ge=0, description="Number of stages computed so far.")


Box = Annotated[
    tuple[float, float, float, float], Field(description="x0, y0, x1, y1 in pixels of the source image.")
]


class Face(BaseModel):
    """The face that speaks."""

    box: Box
    confidence: float | None = Field(ge=0, le=1)


class PerformanceReady(BaseModel):
    """Expected times of videos with this avatar, from the videos made so far."""

    generation_time: str
    generation_seconds: float | None = Field(description="Average; null until a video has been measured.")
    speedup: str
    speedup_factor: float | None = Field(description="Compared with requests whose avatar was not prepared.")
    ready_for_vip: bool


class AvatarStatus(BaseModel):
    """State and progress of an avatar."""

    image_id: str = ImageId
    status: AvatarState
    preprocess_mode: PreprocessMode
    width: int = Field(ge=1, description="Width of the source image, pixels.")
    height: int = Field(ge=1)
    uploaded_at: str = Field(description="ISO 8601, UTC.")
    processing_completed: str | None = Field(None, description="ISO 8601, UTC.")
    processing_seconds: dict[str, float] = Field({}, description="Stage -> seconds it took.")
    cached_components: list[str]
    cache_summary: CacheSummary
    performance_ready: PerformanceReady | None = Field(None, description="Only if the avatar is ready.")
    progress: AvatarProgress
    face: Face | None = None
    face_index: int = Field(0, ge=0, description="The face that speaks; 0 is the largest.")
    faces: list[Box] = Field(
        [], description="Boxes of all faces, the largest first; the position in the list is the `face_index`."
    )
    warnings: list[str] = Field([], description="What was guessed or left out during the preparation.")
    error: Problem | None = Field(None, description="Only if the preparation failed.")
    message: str
    next_step: str


class AvatarItem(BaseModel):
    """An avatar in a list."""

    image_id: str = ImageId
    status: AvatarState
    preprocess_mode: PreprocessMode
    face_index: int = 0
    uploaded_at: str
    width: int
    height: int
    size_bytes: int
    media_type: str


class AvatarList(BaseModel):
    """Avatars, the latest upload first."""

    avatars: list[AvatarItem]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last page.")


class PerformanceImpact(BaseModel):
    """What the cache saves for a source image."""

    cache_coverage: str = Field(examples=["100.0%"])
    estimated_speedup: str = Field(examples=["3.1x faster", NOT_MEASURED])
    total_cache_size: str = Field(examples=["1.85 MB"])


class ImageSummaryAnswer(BaseModel):
    """Everything stored for a source image."""

    image_id: str = ImageId
    cache_summary: CacheSummary
    performance_impact: PerformanceImpact
    videos: int = Field(ge=0, description="Number of stored videos made from it.")
    preprocess_modes: list[PreprocessMode] = Field(description="Modes it was uploaded in.")


class Corner(BaseModel):
    """Top left corner of a cell, pixels."""

    x: int = Field(ge=0)
    y: int = Field(ge=0)


class Visemes(BaseModel):
    """Mouth shapes on one sprite sheet."""

    image_id: str = ImageId
    sprite_url: str = Field(description="Address of the sprite sheet, PNG.")
    width: int = Field(ge=1, description="Width of the sprite sheet, pixels.")
    height: int = Field(ge=1)
    cell: int = Field(ge=1, description="Side of a cell, pixels.")
    visemes: dict[str, Corner] = Field(description="Viseme -> position of its cell.")
    closed_eyes: Corner | None = Field(
        description="Cell with the first viseme and closed eyes; null if the engine draws none."
    )
    letters: dict[str, str] = Field(description="Letter -> its viseme.")
