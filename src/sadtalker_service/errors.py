"""One exception tree for everything that can go wrong by somebody's hand.

Each error knows its stable `code`, the HTTP `status` it maps to, whether trying the same thing again
may succeed (`retryable`), the request field or option it is about (`param`, if any) and, in its message,
what the user can do. The command line prints the message and ends with `exit_code`.
"""

from __future__ import annotations

from typing import ClassVar


class SadTalkerError(Exception):
    """Base of every error that a user may see. `str(error)` is one readable sentence."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class InvalidInput(SadTalkerError):
    """The request cannot be served as it stands; the message says what to change."""

    code = "invalid_input"
    status = 422
    exit_code = 2


class InvalidOption(InvalidInput):
    """An option or field has a value outside its range."""

    code = "invalid_option"


class UnreadableImage(InvalidInput):
    """The bytes are not a picture that can be decoded (truncated, corrupt, not an image)."""

    code = "unreadable_image"
    status = 400


class ImageTooLarge(InvalidInput):
    """The picture is over the limit on bytes or pixels."""

    code = "image_too_large"
    status = 413


class NoFaceFound(InvalidInput):
    """No face was found in the picture."""

    code = "no_face_found"


class FaceTooSmall(InvalidInput):
    """A face was found, but with too few pixels to animate."""

    code = "face_too_small"


class UnreadableAudio(InvalidInput):
    """The bytes hold no sound that can be decoded."""

    code = "unreadable_audio"
    status = 400


class AudioTooLarge(InvalidInput):
    """The recording is over the limit on bytes or on length."""

    code = "audio_too_large"
    status = 413


class EmptyAudio(InvalidInput):
    """The recording is shorter than one video frame."""

    code = "empty_audio"


class UnsupportedByEngine(InvalidInput):
    """The chosen engine cannot do what was asked."""

    code = "unsupported_by_engine"


class EngineUnavailable(SadTalkerError):
    """The chosen engine is not installed, or its checkpoints are missing."""

    code = "engine_unavailable"
    status = 503
    exit_code = 3


class OutputError(SadTalkerError):
    """The video could not be written (disk full, no permission, folder missing)."""

    code = "output_error"
    status = 507
    retryable = True
    exit_code = 4


class Cancelled(SadTalkerError):
    """The work was stopped on request."""

    code = "cancelled"
    status = 409
    exit_code = 130
