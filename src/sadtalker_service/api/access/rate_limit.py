"""Rate limit per API key. Requests are counted on the queue server, so all instances count together."""

from __future__ import annotations

import hashlib
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from sadtalker_service.errors import StoreUnavailable

# A token bucket that refills evenly (generic cell rate algorithm). The key holds the time in microseconds at
# which the bucket is full again. The server's clock is used, because the clocks of the instances differ.
_TAKE = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local per_request, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + per_request
local wait = full_at - capacity - now
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
return 0
"""
_MINUTE = 60_000_000
"""Microseconds."""


class RateLimit:
    """Counts requests on the queue server."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._take = client.register_script(_TAKE)

    async def take(self, name: str, per_minute: int) -> float | None:
        """Count a request of `name`. Returns None if it may be served, else the seconds to wait.

        A burst of `per_minute` requests is allowed; after that they are let in evenly. Raises
        `StoreUnavailable`.
        """
        # a name may contain any character, so the key contains its hash
        key = f"rate:{hashlib.sha256(name.encode()).hexdigest()[:32]}"
        try:
            wait: Any = await self._take(keys=[key], args=[_MINUTE // per_minute, _MINUTE])
        except RedisError as error:
            raise StoreUnavailable("The queue server does not answer.", retry_after=2.0) from error
        return float(wait) / 1e6 if wait else None
