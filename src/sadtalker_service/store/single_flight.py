"""Single flight: equal computations at the same time are done once, in whatever processes they are wanted.

Who comes first computes, the others wait and then look into the cache. It is a courtesy, not a lock that
guards anything: where the server of the cache is away, everybody computes for himself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

import redis
import structlog
from redis.exceptions import LockError
from redis.lock import Lock

log = structlog.get_logger(__name__)

LEASE_SECONDS = 8.0
"""A flight whose process is not heard of for so long is over: its process has died."""
_RENEWALS_PER_LEASE = 4
"""Three of them may be late before the flight is taken for dead."""
_POLL_SECONDS = 0.03
"""How often those who wait look whether the flight is over."""
_PREFIX = "flight:"


class SingleFlight(Protocol):
    """Says who computes what at this moment. Safe to use from several threads."""

    def acquire(self, key: str, on_wait: Callable[[], None] | None = None) -> AbstractContextManager[bool]:
        """A block that is True for the one who shall compute `key` inside of it.

        It is False for everybody else, after the other's block has ended: look into the cache again, and
        come back if it is not there. `on_wait` is called several times a second while waiting; an exception
        that it raises (`Cancelled`) ends the wait. Raises nothing of its own.
        """


class NoFlights:
    """Everybody computes for himself."""

    @contextmanager
    def acquire(self, key: str, on_wait: Callable[[], None] | None = None) -> Iterator[bool]:
        """Always True, at once."""
        del key, on_wait
        yield True


class RedisFlights:
    """SingleFlight of all processes that share a server."""

    def __init__(self, client: redis.Redis, lease_seconds: float = LEASE_SECONDS) -> None:
        """`client` is that of the cache."""
        self._client = client
        self._lease_seconds = lease_seconds

    @contextmanager
    def acquire(self, key: str, on_wait: Callable[[], None] | None = None) -> Iterator[bool]:
        """See `SingleFlight.acquire`; True at once where the server is away."""
        # the thread that renews must know the token, too
        lock = self._client.lock(_PREFIX + key, timeout=self._lease_seconds, thread_local=False)
        role = self._board(lock, on_wait)
        if role != "leads":
            yield role == "alone"
            return
        landed = threading.Event()
        threading.Thread(target=self._renew, args=(lock, landed), name="flight", daemon=True).start()
        try:
            yield True
        finally:
            landed.set()
            self._land(lock)

    def _board(self, lock: Lock, on_wait: Callable[[], None] | None) -> Literal["leads", "landed", "alone"]:
        try:
            if lock.acquire(blocking=False):
                return "leads"
            while lock.locked():
                if on_wait:
                    on_wait()
                time.sleep(_POLL_SECONDS)
        except redis.RedisError as error:
            log.warning("flights_unavailable", flight=lock.name, reason=str(error))
            return "alone"
        return "landed"

    def _renew(self, lock: Lock, landed: threading.Event) -> None:
        while not landed.wait(self._lease_seconds / _RENEWALS_PER_LEASE):
            try:
                lock.reacquire()
            except LockError:  # it was taken for dead, and another one leads
                return
            except redis.RedisError as error:  # tried again until the flight lands
                log.warning("flight_not_renewed", flight=lock.name, reason=str(error))

    def _land(self, lock: Lock) -> None:
        try:
            lock.release()
        except LockError:  # as above
            pass
        except redis.RedisError as error:  # it ends by itself when its lease does
            log.warning("flight_not_landed", flight=lock.name, reason=str(error))
