"""Waits for a queue server that is restarting, so that finished work is not lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from sadtalker_service.errors import StoreUnavailable

log = structlog.get_logger(__name__)

RETRY_SECONDS = 60.0
"""Longer than a restart of the server takes, including loading its file."""
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0

Answer = TypeVar("Answer")


def retry_while_unavailable(
    call: Callable[[], Answer],
    *,
    seconds: float = RETRY_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Call `call` repeatedly for up to `seconds` while it raises `StoreUnavailable`, and return its result.

    Raises `StoreUnavailable` if it never succeeded. A call may have been executed although its reply was
    lost, so `call` must be safe to repeat.
    """
    until, delay = clock() + seconds, _FIRST_DELAY
    while True:
        try:
            return call()
        except StoreUnavailable as error:
            if clock() + delay > until:
                raise
            log.warning("store_awaited", reason=error.message)
        sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY)


def best_effort(call: Callable[[], object]) -> None:
    """Call once, for something optional. An unavailable store is only logged."""
    try:
        call()
    except StoreUnavailable as error:
        log.info("store_missed", reason=error.message)
