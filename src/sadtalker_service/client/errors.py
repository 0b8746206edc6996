"""What can go wrong between a client and the service."""

from __future__ import annotations

from sadtalker_service.errors import SadTalkerError, all_errors

_EXIT_CODES = {kind.code: kind.exit_code for kind in all_errors()}
"""Error code -> exit code of the command line: the same failure ends a local and a remote command alike."""
_NO_SERVICE = 3


class ClientError(SadTalkerError):
    """Base of all errors of the client. Its fields are those of the API's error object."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int = 0,
        param: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        """`code` and `status` are those of the service's answer. Status 0: there was no answer."""
        super().__init__(message, param=param, retry_after=retry_after)
        self.code = code
        self.status = status
        self.retryable = retryable
        self.exit_code = _EXIT_CODES.get(code, type(self).exit_code)


class ApiError(ClientError):
    """The service refused the request. `code` says why, `message` what to do."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int,
        param: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        request_id: str | None = None,
        state: str | None = None,
        answer_was_lost: bool = False,
    ) -> None:
        super().__init__(
            message, code=code, status=status, param=param, retryable=retryable, retry_after=retry_after
        )
        self.request_id = request_id
        """Names the request in the service's log."""
        self.state = state
        """With 409: state of the session or avatar."""
        self.answer_was_lost = answer_was_lost
        """Whether the same request was sent before and its answer did not arrive: it may have been carried
        out."""


class Unreachable(ClientError):
    """The service cannot be reached, or the connection broke before the end of the answer."""

    exit_code = _NO_SERVICE

    def __init__(self, message: str, *, sent: bool) -> None:
        """`sent`: whether the service may have received the request."""
        super().__init__(message, code="unreachable", retryable=True)
        self.sent = sent


class WorkFailed(ClientError):
    """The avatar or the video could not be made. `code` and `message` say why."""


class Unfinished(ClientError):
    """The work has not ended within the given time. It goes on."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="unfinished", retryable=True)
