"""Converts errors to stored failures and back. A failure is stored with a session or an avatar."""

from __future__ import annotations

from functools import lru_cache

from sadtalker_service.errors import Cancelled, SadTalkerError, TimeLimitExceeded, WorkerLost, all_errors
from sadtalker_service.state.records import Failure

_SHARED = frozenset({WorkerLost.code, TimeLimitExceeded.code, Cancelled.code})
"""Retryable for a user, but not for an equal request that waits for the same work. It would bring down one
worker after the other."""


def failure_of(error: SadTalkerError) -> Failure:
    """The stored form of `error`."""
    return Failure(error.code, error.public_message, error.retryable, error.param)


def error_of(failure: Failure) -> SadTalkerError:
    """The error that `failure` was made from; a plain `SadTalkerError` for an unknown code."""
    kind = _kinds().get(failure.code, SadTalkerError)
    return kind(failure.message, param=failure.param)


def worth_another_try(failure: Failure) -> bool:
    """Whether an equal request may succeed where this one failed (disk full, store away)."""
    return failure.retryable and failure.code not in _SHARED


@lru_cache(maxsize=1)
def _kinds() -> dict[str, type[SadTalkerError]]:
    return {kind.code: kind for kind in all_errors()}
