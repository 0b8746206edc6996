"""Errors of a request: its input, its state and the access to it."""

from __future__ import annotations

from sadtalker_service.errors.base import SadTalkerError


class InvalidInput(SadTalkerError):
    """The request cannot be processed as it is. The message says what to change."""

    code = "invalid_input"
    status = 422
    exit_code = 2


class InvalidOption(InvalidInput):
    """An option or field has an invalid value."""

    code = "invalid_option"


class TextTooLong(InvalidInput):
    """The text has more characters than are spoken at once."""

    code = "text_too_long"


class UnsupportedByEngine(InvalidInput):
    """The chosen engine does not support the request."""

    code = "unsupported_by_engine"


class MalformedRequest(InvalidInput):
    """The body does not match its headers. It is not a multipart form, or it is incomplete."""

    code = "malformed_request"
    status = 400


class UnsupportedMedia(InvalidInput):
    """The type of the uploaded file is not supported, for example a PDF instead of an image."""

    code = "unsupported_media_type"
    status = 415


class RequestTooLarge(InvalidInput):
    """The body of the request is larger than the limit."""

    code = "request_too_large"
    status = 413


class LiveQueueFull(InvalidInput):
    """The live session already keeps as much driven audio for later as it may."""

    code = "live_queue_full"
    status = 429
    retryable = True


class LiveSessionEnded(InvalidInput):
    """The live session has ended. Start a new one."""

    code = "live_session_ended"
    status = 410


class UploadTooSlow(InvalidInput):
    """The body of the request did not arrive in time."""

    code = "upload_timeout"
    status = 408
    retryable = True


class NotFound(InvalidInput):
    """The avatar, session or video does not exist, or no longer exists."""

    code = "not_found"
    status = 404


class VideoDeleted(NotFound):
    """The finished video of this session was deleted."""

    code = "video_deleted"
    retryable = True


class NoStream(SadTalkerError):
    """A transparent video cannot be watched while it is rendered. Download it when it is ready."""

    code = "no_stream"
    status = 409


class NotReady(InvalidInput):
    """The result does not exist yet; try again later. If it never will, `retryable` is false."""

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
        """`state`: state of the requested session; `never`: the result will never exist."""
        super().__init__(message, param=param, retry_after=retry_after)
        self.state = state
        self.retryable = type(self).retryable and not never


class AlreadyEnded(NotReady):
    """The session has already ended and cannot be cancelled."""

    code = "already_ended"
    retryable = False


class Conflict(InvalidInput):
    """Another request is working on the same thing right now."""

    code = "conflict"
    status = 409
    retryable = True


class IdempotencyKeyReused(InvalidInput):
    """The `Idempotency-Key` was used before with a different request."""

    code = "idempotency_key_reused"


class Unauthorized(InvalidInput):
    """The API key is missing or unknown."""

    code = "unauthorized"
    status = 401


class Forbidden(InvalidInput):
    """The API key does not allow this."""

    code = "forbidden"
    status = 403


class HostNotAllowed(Forbidden):
    """Without API keys the service answers only to host names of its own machine."""

    code = "host_not_allowed"


class OriginNotAllowed(Forbidden):
    """A page of another origin tried to change something, and no API keys are configured."""

    code = "origin_not_allowed"


class RateLimited(InvalidInput):
    """The API key has reached its rate limit, or the address has sent too many wrong keys."""

    code = "rate_limited"
    status = 429
    retryable = True
