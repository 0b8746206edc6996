"""Avatars over the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sadtalker_service.api.schemas.problem import Problem
from sadtalker_service.domain import SHA256, PreprocessMode
from sadtalker_service.state.records import AvatarState

IMAGE_ID = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
NOT_MEASURED = "not measured yet"
"""Stands where a text tells of a duration or a ratio, and nothing was measured."""

ImageId = Field(
    description="sha256 of the picture's bytes.", examples=[IMAGE_ID], pattern=f"^{SHA256.pattern}$"
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
    """The form with which a source image is uploaded."""

    model_config = ConfigDict(extra="allow")

    image_file: bytes = Field(
        description="JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP or GIF with a face; or an MP4, WebM or MOV,"
        " of which the best frame is taken.",
        json_schema_extra={"type": "string", "format": "binary"},
    )
    preprocess_mode: PreprocessMode = Field(
        "full", description="How much of the picture is animated, as in SadTalker."
    )
    face_index: int = Field(0, ge=0, description="Which face speaks, where there are several: 0 the largest.")


class CachedComponent(BaseModel):
    """What the cache holds of one stage."""

    cached: bool
    ttl: int | Literal["permanent"] | None = Field(description="Seconds until it expires.")
    size_bytes: int = Field(ge=0)


class CacheSummary(BaseModel):
    """What the cache holds of a source image."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SUMMARY_EXAMPLE]})

    image_hash: str = ImageId
    cached_components: dict[str, CachedComponent] = Field(description="Stage -> what is cached of it.")
    total_cache_size: int = Field(ge=0, description="Bytes.")
    cache_coverage: float = Field(ge=0, le=100, description="Per cent of the stages that are cached.")


class AvatarLinks(BaseModel):
    """Where to go on."""

    status: str
    summary: str
    generate: str


class UploadAnswer(BaseModel):
    """A source image was taken on, or was there."""

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
    face_index: int = Field(0, ge=0, description="Which of the faces it is: 0 is the largest.")
    estimated_time: str = Field(description="How long the preparation takes, as it was measured before.")
    message: str
    next_step: str
    cached_stages: list[str] = Field(description="Stages that are computed.")
    cache_summary: CacheSummary | None = None
    warnings: list[str] = []
    links: AvatarLinks


class AvatarProgress(BaseModel):
    """How far the preparation is."""

    stage: str | None = Field(description="Stage that is being computed.")
    done: int = Field(ge=0, description="Stages computed so far.")


Box = Annotated[
    tuple[float, float, float, float], Field(description="x0, y0, x1, y1 in pixels of the picture.")
]


class Face(BaseModel):
    """The face that will speak."""

    box: Box
    confidence: float | None = Field(ge=0, le=1)


class PerformanceReady(BaseModel):
    """What to expect of videos with this avatar, from the videos made so far."""

    generation_time: str
    generation_seconds: float | None = Field(description="Average; null while nothing was measured.")
    speedup: str
    speedup_factor: float | None = Field(description="Against requests whose avatar was not prepared.")
    ready_for_vip: bool


class AvatarStatus(BaseModel):
    """How far an avatar is."""

    image_id: str = ImageId
    status: AvatarState
    preprocess_mode: PreprocessMode
    width: int = Field(ge=1, description="Of the picture, pixels.")
    height: int = Field(ge=1)
    uploaded_at: str = Field(description="ISO 8601, UTC.")
    processing_completed: str | None = Field(None, description="ISO 8601, UTC.")
    processing_seconds: dict[str, float] = Field({}, description="Stage -> seconds that it took.")
    cached_components: list[str]
    cache_summary: CacheSummary
    performance_ready: PerformanceReady | None = Field(None, description="For an avatar that is ready.")
    progress: AvatarProgress
    face: Face | None = None
    face_index: int = Field(0, ge=0, description="Which of the faces it is: 0 is the largest.")
    faces: list[Box] = Field(
        [], description="Boxes of all faces of the picture, the largest first; the place is the `face_index`."
    )
    warnings: list[str] = Field([], description="What was guessed or left out in the preparation.")
    error: Problem | None = Field(None, description="For one that could not be prepared.")
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
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")


class PerformanceImpact(BaseModel):
    """What the cache is worth for a source image."""

    cache_coverage: str = Field(examples=["100.0%"])
    estimated_speedup: str = Field(examples=["3.1x faster", NOT_MEASURED])
    total_cache_size: str = Field(examples=["1.85 MB"])


class ImageSummaryAnswer(BaseModel):
    """What is kept of a source image."""

    image_id: str = ImageId
    cache_summary: CacheSummary
    performance_impact: PerformanceImpact
    videos: int = Field(ge=0, description="Videos made from it that are kept.")
    preprocess_modes: list[PreprocessMode] = Field(description="Modes in which it was uploaded.")


class Corner(BaseModel):
    """Top left corner of a cell, pixels."""

    x: int = Field(ge=0)
    y: int = Field(ge=0)


class Visemes(BaseModel):
    """Mouth shapes on one picture."""

    image_id: str = ImageId
    sprite_url: str = Field(description="The picture, PNG.")
    width: int = Field(ge=1, description="Of the picture, pixels.")
    height: int = Field(ge=1)
    cell: int = Field(ge=1, description="Side of a cell, pixels.")
    visemes: dict[str, Corner] = Field(description="Viseme -> where its cell is.")
    closed_eyes: Corner | None = Field(
        description="Cell with the first viseme and closed eyes; null: the engine draws none."
    )
    letters: dict[str, str] = Field(description="Letter -> its viseme.")
