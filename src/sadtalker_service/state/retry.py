"""Waits for a queue server that is being restarted: what was worked for must not be lost for that."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from sadtalker_service.errors import StoreUnavailable

log = structlog.get_logger(__name__)

RETRY_SECONDS = 60.0
"""Longer than a restart of the server, with the reading of its file, takes."""
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
    """What `call` returns, called again and again for `seconds` while it raises `StoreUnavailable`.

    Raises `StoreUnavailable` when that was in vain. `call` may have been carried out although its answer was
    lost: it must be one that can be repeated.
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
    """Call once, for something that nobody misses: a store that is away is logged and no more."""
    try:
        call()
    except StoreUnavailable as error:
        log.info("store_missed", reason=error.message)
