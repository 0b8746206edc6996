"""Holds the claim on an `Idempotency-Key` while its request is processed in an event loop."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from anyio import to_thread

from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.state.idempotency import RENEWAL_SECONDS, Claim, IdempotencyKeys


@asynccontextmanager
async def claimed(
    keys: IdempotencyKeys, scope: str, key: str | None, request_hash: str
) -> AsyncIterator[Claim | None]:
    """Context manager that gives the claim on `key`, None without a key. Arguments are those of
    `IdempotencyKeys.claim`.

    The claim is renewed until it exits. If this process dies, the same request may be sent again a few
    seconds later. Raises `Conflict` while the first request is being processed, `IdempotencyKeyReused`,
    `StoreUnavailable`.
    """
    if key is None:
        yield None
        return
    claim = await to_thread.run_sync(keys.claim, scope, key, request_hash, str(uuid.uuid4()))
    if claim.answered:
        yield claim
        return
    renewal = asyncio.create_task(_renew(keys, claim))
    end = keys.release  # also after an error, because the key must not stay taken
    try:
        yield claim
        end = keys.complete
    finally:
        renewal.cancel()
        await to_thread.run_sync(end, claim)


async def _renew(keys: IdempotencyKeys, claim: Claim) -> None:
    while True:
        await asyncio.sleep(RENEWAL_SECONDS)
        with suppress(StoreUnavailable):
            await to_thread.run_sync(keys.renew, claim)
