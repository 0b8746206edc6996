"""One exception tree for everything that can go wrong by somebody's hand.

Each error knows its stable `code`, the HTTP `status` it maps to, whether trying the same thing again
may succeed (`retryable`), the request field or option it is about (`param`, if any) and, in its message,
what the user can do. The command line prints the message and ends with `exit_code`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

_PATH = re.compile(r"(?<![\w/.:~-])~?/(?:[^\s/,;:'\"()]+/)*([^\s/,;:'\"()]+)")
"""A path of this machine, not the address of a page."""


class SadTalkerError(Exception):
    """Base of every error that a user may see. `str(error)` is one readable sentence."""

    code: str = "internal_error"
    status: int = 500
    retryable: bool = False
    exit_code: int = 1
    tells_paths: ClassVar[bool] = False
    """Whether its message may name folders: those who run the service want to know them, others must not."""

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        """`retry_after`: seconds after which trying again makes sense, where that is known."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after

    @property
    def public_message(self) -> str:
        """The message for everybody who may use the service."""
        return without_folders(self.message) if self.tells_paths else self.message


def without_folders(text: str) -> str:
    """`text` with the last name of every path in it only: `/srv/data/x.bin` becomes `x.bin`."""
    return _PATH.sub(r"\1", text)


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
    tells_paths = True


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


class MouthOutsidePicture(InvalidInput):
    """A face was found whose mouth the picture does not show."""

    code = "mouth_outside_picture"


class UnreadableAudio(InvalidInput):
    """The bytes hold no sound that can be decoded."""

    code = "unreadable_audio"
    status = 400
    tells_paths = True


class UnreadableVideo(InvalidInput):
    """The bytes hold no moving picture that can be decoded."""

    code = "unreadable_video"
    status = 400
    tells_paths = True


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


class MalformedRequest(InvalidInput):
    """The body is not what its headers say: no multipart form, or one that is cut short."""

    code = "malformed_request"
    status = 400


class UnsupportedMedia(InvalidInput):
    """The upload is of a kind that is never read here (a PDF where a picture belongs)."""

    code = "unsupported_media_type"
    status = 415


class RequestTooLarge(InvalidInput):
    """The body of the request is over the limit."""

    code = "request_too_large"
    status = 413


class UploadTooSlow(InvalidInput):
    """The body of the request did not arrive in time."""

    code = "upload_timeout"
    status = 408
    retryable = True


class NotFound(InvalidInput):
    """There is no such avatar, session or video (any more)."""

    code = "not_found"
    status = 404


class VideoDeleted(NotFound):
    """The video of this session was deleted after it had been made."""

    code = "video_deleted"
    retryable = True


class NotReady(InvalidInput):
    """What was asked for is not made yet: try again. Or it never will be: then `retryable` is false."""

    code = "not_ready"
    status = 409
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        state: str | None = None,
        never: bool = False,
    ) -> None:
        """`state`: that of the session that was asked for; `never`: waiting for it is in vain."""
        super().__init__(message, param=param, retry_after=retry_after)
        self.state = state
        self.retryable = type(self).retryable and not never


class AlreadyEnded(NotReady):
    """A session that has ended cannot be ended."""

    code = "already_ended"
    retryable = False


class Conflict(InvalidInput):
    """The same request is being answered at this moment."""

    code = "conflict"
    status = 409
    retryable = True


class IdempotencyKeyReused(InvalidInput):
    """An `Idempotency-Key` came back with another request than the first time."""

    code = "idempotency_key_reused"


class Unauthorized(InvalidInput):
    """No API key, or one that is not known."""

    code = "unauthorized"
    status = 401


class Forbidden(InvalidInput):
    """The API key has no right to this."""

    code = "forbidden"
    status = 403


class HostNotAllowed(Forbidden):
    """Without API keys the service answers under the names of its own machine only."""

    code = "host_not_allowed"


class OriginNotAllowed(Forbidden):
    """A page of another origin wants to change something, and no API key is asked for."""

    code = "origin_not_allowed"


class RateLimited(InvalidInput):
    """The API key has used up its requests of this minute."""

    code = "rate_limited"
    status = 429
    retryable = True


class LaneFull(SadTalkerError):
    """As many requests wait in this lane as may wait."""

    code = "lane_full"
    status = 429
    retryable = True


class Busy(SadTalkerError):
    """As much of this kind is being worked on as may be at a time."""

    code = "busy"
    status = 503
    retryable = True


class StoreUnavailable(SadTalkerError):
    """The queue's server does not answer: nothing can be taken on, nothing that was taken on is lost."""

    code = "store_unavailable"
    status = 503
    retryable = True


class Draining(SadTalkerError):
    """This instance is being shut down; another one, or this one after its restart, takes requests."""

    code = "draining"
    status = 503
    retryable = True


class StoreMisconfigured(SadTalkerError):
    """A server cannot be used as it is set up; found at the start, before any work is taken on."""

    code = "store_misconfigured"
    exit_code = 3


class StartFailed(SadTalkerError):
    """A part of the service does not start; the message says which one and why."""

    code = "start_failed"
    exit_code = 3


class WorkerLost(SadTalkerError):
    """The worker died, again and again, while it made this video."""

    code = "worker_lost"
    retryable = True


class TimeLimitExceeded(SadTalkerError):
    """The video took longer than its time limit."""

    code = "time_limit_exceeded"
    retryable = True


class EngineUnavailable(SadTalkerError):
    """The chosen engine is not installed, or its checkpoints are missing."""

    code = "engine_unavailable"
    status = 503
    exit_code = 3
    tells_paths = True


class EngineStarting(EngineUnavailable):
    """No worker has said yet which engine it has: they are still being started."""

    code = "engine_starting"
    retryable = True


class OutputError(SadTalkerError):
    """The video could not be written (disk full, no permission, folder missing)."""

    code = "output_error"
    status = 507
    retryable = True
    exit_code = 4
    tells_paths = True


class Cancelled(SadTalkerError):
    """The work was stopped on request."""

    code = "cancelled"
    status = 409
    exit_code = 130


def all_errors(kind: type[SadTalkerError] = SadTalkerError) -> Iterator[type[SadTalkerError]]:
    """`kind` and every error below it, the general before the particular."""
    yield kind
    for child in kind.__subclasses__():
        yield from all_errors(child)
