"""Errors as records and back: a failure is kept with a session or an avatar, and raised again."""

from __future__ import annotations

from functools import lru_cache

from sadtalker_service.errors import Cancelled, SadTalkerError, TimeLimitExceeded, WorkerLost, all_errors
from sadtalker_service.state.records import Failure

_SHARED = frozenset({WorkerLost.code, TimeLimitExceeded.code, Cancelled.code})
"""Retryable for a user, but not worth another try for an equal spec that waits for the same work: it would
bring down one worker after the other."""


def failure_of(error: SadTalkerError) -> Failure:
    """What is kept of `error`."""
    return Failure(error.code, error.message, error.retryable, error.param)


def error_of(failure: Failure) -> SadTalkerError:
    """The error that `failure` was, with its status; a plain `SadTalkerError` for an unknown code."""
    kind = _kinds().get(failure.code, SadTalkerError)
    return kind(failure.message, param=failure.param)


def worth_another_try(failure: Failure) -> bool:
    """Whether an equal spec may succeed where this one failed (disk full, store away)."""
    return failure.retryable and failure.code not in _SHARED


@lru_cache(maxsize=1)
def _kinds() -> dict[str, type[SadTalkerError]]:
    return {kind.code: kind for kind in all_errors()}
