"""The exception tree: every error that a user can see.

Each error has a stable `code`, an HTTP `status`, whether a retry may succeed (`retryable`) and, if known, the
request field or option that caused it (`param`). Its message says what the user can do. The command line
prints the message and exits with `exit_code`.
"""

from __future__ import annotations

from sadtalker_service.errors.base import (
    SadTalkerError,
    all_errors,
    without_folders,
)
from sadtalker_service.errors.media import (
    AudioTooLarge,
    EmptyAudio,
    FaceTooSmall,
    ImageTooLarge,
    MouthOutsidePicture,
    NoFaceFound,
    UnreadableAudio,
    UnreadableImage,
    UnreadableVideo,
)
from sadtalker_service.errors.operation import (
    Busy,
    Cancelled,
    Draining,
    EngineStarting,
    EngineUnavailable,
    LaneFull,
    OutputError,
    StartFailed,
    StoreMisconfigured,
    StoreUnavailable,
    TimeLimitExceeded,
    WorkerLost,
)
from sadtalker_service.errors.requests import (
    AlreadyEnded,
    Conflict,
    Forbidden,
    HostNotAllowed,
    IdempotencyKeyReused,
    InvalidInput,
    InvalidOption,
    MalformedRequest,
    NotFound,
    NotReady,
    OriginNotAllowed,
    RateLimited,
    RequestTooLarge,
    Unauthorized,
    UnsupportedByEngine,
    UnsupportedMedia,
    UploadTooSlow,
    VideoDeleted,
)

__all__ = [
    "AlreadyEnded",
    "AudioTooLarge",
    "Busy",
    "Cancelled",
    "Conflict",
    "Draining",
    "EmptyAudio",
    "EngineStarting",
    "EngineUnavailable",
    "FaceTooSmall",
    "Forbidden",
    "HostNotAllowed",
    "IdempotencyKeyReused",
    "ImageTooLarge",
    "InvalidInput",
    "InvalidOption",
    "LaneFull",
    "MalformedRequest",
    "MouthOutsidePicture",
    "NoFaceFound",
    "NotFound",
    "NotReady",
    "OriginNotAllowed",
    "OutputError",
    "RateLimited",
    "RequestTooLarge",
    "SadTalkerError",
    "StartFailed",
    "StoreMisconfigured",
    "StoreUnavailable",
    "TimeLimitExceeded",
    "Unauthorized",
    "UnreadableAudio",
    "UnreadableImage",
    "UnreadableVideo",
    "UnsupportedByEngine",
    "UnsupportedMedia",
    "UploadTooSlow",
    "VideoDeleted",
    "WorkerLost",
    "all_errors",
    "without_folders",
]
