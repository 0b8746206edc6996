"""Artefact cache on a server that speaks the Redis protocol, shared by all processes and machines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import redis

from sadtalker_service.domain import SHA256, Artefact
from sadtalker_service.store.cache import CacheUnavailable
from sadtalker_service.store.codec import CorruptArtefact, decode, encode
from sadtalker_service.store.keys import key_parts
from sadtalker_service.store.media_stream import streams_key

PAUSE_SECONDS = 1.0
"""After a failure the server is not used for this long. Work continues without it, and further lookups do not
wait for it again."""

_SCANNED_AT_ONCE = 1_000


class RedisCache:
    """Stores artefacts under their keys. The server decides what to evict when its memory is full.

    Artefacts that never expire have no TTL, so `TTL` returns -1. They are removed with their source image, or
    evicted by a server with `allkeys-lru`. A server with `volatile-lru` keeps them and evicts those with a
    lifetime. Only `3dmm_coeffs` has none, a few kilobytes per avatar.
    """

    def __init__(self, client: redis.Redis, clock: Callable[[], float] = time.monotonic) -> None:
        """`client` returns bytes. `clock` returns seconds."""
        self._client = client
        self._clock = clock
        self._away_until = float("-inf")

    def get(self, key: str) -> Artefact | None:
        """The artefact, or None. Removes it if it cannot be read. Raises `CacheUnavailable`."""
        key_parts(key)
        with self._server():
            data: Any = self._client.get(key)
        if data is None:
            return None
        try:
            return decode(data)
        except CorruptArtefact:
            with self._server():
                self._client.unlink(key)
            return None

    def put(self, key: str, artefact: Artefact, lifetime: float | None) -> None:
        """Store `artefact` for `lifetime` seconds, or forever if None. Raises `CacheUnavailable`."""
        key_parts(key)
        data = encode(artefact)
        with self._server():
            self._client.set(key, data, px=None if lifetime is None else max(1, round(1000 * lifetime)))

    def forget(self, image_id: str) -> int:
        """Remove all artefacts of the upload with this hash and the streams that show it.

        Returns the number of removed artefacts. Raises `CacheUnavailable`.
        """
        if not SHA256.fullmatch(image_id):
            raise ValueError(f"not a sha256: {image_id!r}")
        with self._server(pausing=False):
            index = streams_key(image_id)
            streams: Any = self._client.smembers(index)
            self._client.unlink(index, *streams)
            keys = list(self._keys(f"*:{image_id}:*"))
            return int(self._client.unlink(*keys)) if keys else 0

    def count_by_kind(self) -> Mapping[str, int]:
        """Kind (`face_mesh`, `visemes`) -> number of stored artefacts. Raises `CacheUnavailable`."""
        with self._server():
            return Counter(key.split(":")[0] for key in self._keys("*"))

    def size_and_ttl(self, key: str) -> tuple[int, int | None] | None:
        """(bytes, seconds left or None for no expiry) of an artefact, or None. Raises `CacheUnavailable`."""
        with self._server():
            pipe = self._client.pipeline(transaction=False)
            pipe.strlen(key)
            pipe.pttl(key)
            size, left_ms = pipe.execute()
        if not size:
            return None
        return int(size), None if left_ms < 0 else left_ms // 1000

    def _keys(self, pattern: str) -> Iterator[str]:
        """Matching keys of artefacts only, because the server may be the queue server too."""
        for raw in self._client.scan_iter(match=pattern, count=_SCANNED_AT_ONCE):
            key = raw.decode(errors="replace")
            parts = key.split(":")
            if len(parts) in {4, 5} and SHA256.fullmatch(parts[1]):
                yield key

    @contextmanager
    def _server(self, *, pausing: bool = True) -> Iterator[None]:
        """Context manager for server access.

        All errors become `CacheUnavailable`, also that of a full server.
        """
        if pausing and self._clock() < self._away_until:
            raise CacheUnavailable("the cache server did not answer a moment ago")
        try:
            yield
        except (redis.ConnectionError, redis.TimeoutError) as error:
            self._away_until = self._clock() + PAUSE_SECONDS
            raise CacheUnavailable(f"the cache server does not answer: {error}") from error
        except redis.RedisError as error:
            raise CacheUnavailable(f"the cache server refused: {error}") from error
