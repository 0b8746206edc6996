"""Single flight among processes that share a cache server. `store/single_flight.py` says what it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import redis
import structlog
from redis.exceptions import LockError
from redis.lock import Lock

log = structlog.get_logger(__name__)

LEASE_SECONDS = 8.0
"""A computation whose lease is not renewed for this long has ended, because its process has died."""
_RENEWALS_PER_LEASE = 4
"""Three renewals may fail before the lease expires."""
_POLL_SECONDS = 0.03
"""How often waiting callers check whether the computation has ended."""
_PREFIX = "flight:"


class RedisSingleFlight:
    """Single flight among all processes that share a cache server."""

    def __init__(self, client: redis.Redis, lease_seconds: float = LEASE_SECONDS) -> None:
        """`client` is the client of the cache server."""
        self._client = client
        self._lease_seconds = lease_seconds

    @contextmanager
    def acquire(self, key: str, on_wait: Callable[[], None] | None = None) -> Iterator[bool]:
        """See `SingleFlight.acquire`. Yields True immediately if the server is unreachable."""
        lock = self._lock(key)
        role = self._acquire_or_wait(lock, on_wait)
        if role != "leader":
            yield role == "uncoordinated"
            return
        with self._renewed(lock):
            yield True

    @contextmanager
    def lead(self, key: str) -> Iterator[bool]:
        """See `SingleFlight.lead`. Yields True if the server is unreachable."""
        lock = self._lock(key)
        try:
            ours = bool(lock.acquire(blocking=False))
        except redis.RedisError as error:
            log.warning("flights_unavailable", flight=lock.name, reason=str(error))
            yield True
            return
        if not ours:
            yield False
            return
        with self._renewed(lock):
            yield True

    def is_led(self, key: str) -> bool:
        """See `SingleFlight.is_led`."""
        try:
            return bool(self._lock(key).locked())
        except redis.RedisError:
            return False

    def _lock(self, key: str) -> Lock:
        # thread_local=False, because the renewing thread needs the token too
        lock: Lock = self._client.lock(_PREFIX + key, timeout=self._lease_seconds, thread_local=False)
        return lock

    @contextmanager
    def _renewed(self, lock: Lock) -> Iterator[None]:
        """Renew an acquired lock, and release it at the end."""
        done = threading.Event()
        threading.Thread(target=self._renew, args=(lock, done), name="single-flight", daemon=True).start()
        try:
            yield
        finally:
            done.set()
            self._release(lock)

    def _acquire_or_wait(
        self, lock: Lock, on_wait: Callable[[], None] | None
    ) -> Literal["leader", "follower", "uncoordinated"]:
        try:
            if lock.acquire(blocking=False):
                return "leader"
            while lock.locked():
                if on_wait:
                    on_wait()
                time.sleep(_POLL_SECONDS)
        except redis.RedisError as error:
            log.warning("flights_unavailable", flight=lock.name, reason=str(error))
            return "uncoordinated"
        return "follower"

    def _renew(self, lock: Lock, done: threading.Event) -> None:
        while not done.wait(self._lease_seconds / _RENEWALS_PER_LEASE):
            try:
                lock.reacquire()
            except LockError:  # the lease expired, and another caller leads
                return
            except redis.RedisError as error:  # retried until the computation ends
                log.warning("flight_not_renewed", flight=lock.name, reason=str(error))

    def _release(self, lock: Lock) -> None:
        try:
            lock.release()
        except LockError:  # the lease expired
            pass
        except redis.RedisError as error:  # the lock expires with its lease
            log.warning("flight_not_landed", flight=lock.name, reason=str(error))
