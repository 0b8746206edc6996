"""Sends a request until it is answered, where sending it again does no harm."""

from __future__ import annotations

import http
import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from sadtalker_service.client.errors import ApiError, ClientError, Unreachable
from sadtalker_service.client.exchange import Answer, Ask, Pause, Request, Work

_NOT_BY_REPEATING = frozenset({"not_ready", "video_deleted"})
"""Codes of retryable errors for which the same request brings nothing new by itself."""
_OF_A_PROXY = frozenset({502, 503, 504})
"""Statuses that are worth another try even if the answer is not the service's."""
_NOTHING_DONE = frozenset({429, 503})
"""Statuses with which the service says that it did nothing."""


@dataclass(frozen=True)
class Retries:
    """How often and how patiently a request is sent again. `Retries(attempts=1)`: never."""

    attempts: int = 5
    """How many times it is sent in a row, at most."""
    first_pause: float = 0.5
    """Seconds before the second attempt. The pause doubles from then on, and varies by a half. A Retry-After
    of the service takes its place."""
    longest_pause: float = 30.0
    """Seconds. A request that the service wants to have later than this fails at once."""

    def pause_before(self, attempt: int) -> float:
        """Seconds before attempt number `attempt`, which is 2 or more."""
        pause = min(self.first_pause * 2.0 ** (attempt - 2), self.longest_pause)
        return pause * random.SystemRandom().uniform(0.5, 1.0)


def ask(request: Request, retries: Retries, *, open: bool = False) -> Work[Answer]:  # noqa: A002
    """The successful answer to `request`. Raises `ApiError`, `Unreachable`."""
    lost = False
    for attempt in count(1):
        error: ClientError
        try:
            answer: Answer = yield Ask(request, open)
            if http.HTTPStatus.OK <= answer.status < http.HTTPStatus.MULTIPLE_CHOICES:
                return answer
            error = api_error(answer, answer_was_lost=lost)
        except Unreachable as unreachable:
            error = unreachable
            lost = lost or unreachable.sent
        pause = retries.pause_before(attempt + 1) if error.retry_after is None else error.retry_after
        if not _again(request, error) or attempt >= retries.attempts or pause > retries.longest_pause:
            raise error
        yield Pause(pause)
    raise AssertionError("unreachable")


def _again(request: Request, error: ClientError) -> bool:
    if isinstance(error, Unreachable):
        return request.repeatable or not error.sent
    if not error.retryable or error.code in _NOT_BY_REPEATING:
        return False
    return request.repeatable or error.status in _NOTHING_DONE


def api_error(answer: Answer, *, answer_was_lost: bool = False) -> ApiError:
    """The error in an answer, from the service or from a proxy."""
    body = _object(answer)
    error: Mapping[str, Any] | None = body.get("error") if isinstance(body.get("error"), dict) else None
    if error is None:
        error = {
            "code": f"http_{answer.status}",
            "message": f"The address answered {answer.status}{_phrase(answer.status)}. Is it the service's?",
            "retryable": answer.status in _OF_A_PROXY,
        }
    return ApiError(
        str(error.get("message", "")),
        code=str(error.get("code", "")),
        status=answer.status,
        param=error.get("param"),
        retryable=bool(error.get("retryable")),
        retry_after=_seconds(answer.headers.get("retry-after")),
        request_id=answer.headers.get("x-request-id"),
        state=body.get("status"),
        answer_was_lost=answer_was_lost,
    )


def _object(answer: Answer) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _phrase(status: int) -> str:
    try:
        return f" {http.HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _seconds(text: str | None) -> float | None:
    """A Retry-After in seconds. One with a date counts as none."""
    return float(text) if text is not None and text.isdecimal() else None
