"""Single flight: equal computations at the same time are done once, in whatever processes they are wanted.

Who comes first computes, the others wait and then look into the cache. It is a courtesy, not a lock that
guards anything: where the server of the cache is away, everybody computes for himself.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

import redis
import structlog

log = structlog.get_logger(__name__)

LEASE_SECONDS = 8.0
"""A flight whose process is not heard of for so long is over: its process has died."""
_RENEWALS_PER_LEASE = 4
"""Three of them may be late before the flight is taken for dead."""
_POLL_SECONDS = 0.03
"""How often those who wait look whether the flight is over."""
_PREFIX = "flight:"

# Only the token's owner may lengthen or end a flight: it may have been taken for dead and replaced.
_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_LAND = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


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
        self._lease_ms = max(1, round(1000 * lease_seconds))

    @contextmanager
    def acquire(self, key: str, on_wait: Callable[[], None] | None = None) -> Iterator[bool]:
        """See `SingleFlight.acquire`; True at once where the server is away."""
        name, token = _PREFIX + key, secrets.token_hex(8)
        role = self._board(name, token, on_wait)
        if role != "leads":
            yield role == "alone"
            return
        landed = threading.Event()
        threading.Thread(target=self._renew, args=(name, token, landed), name="flight", daemon=True).start()
        try:
            yield True
        finally:
            landed.set()
            self._land(name, token)

    def _board(
        self, name: str, token: str, on_wait: Callable[[], None] | None
    ) -> Literal["leads", "landed", "alone"]:
        try:
            if self._client.set(name, token, nx=True, px=self._lease_ms):
                return "leads"
            while self._client.exists(name):
                if on_wait:
                    on_wait()
                time.sleep(_POLL_SECONDS)
        except redis.RedisError as error:
            log.warning("flights_unavailable", flight=name, reason=str(error))
            return "alone"
        return "landed"

    def _renew(self, name: str, token: str, landed: threading.Event) -> None:
        while not landed.wait(self._lease_ms / 1000 / _RENEWALS_PER_LEASE):
            try:
                if not self._client.eval(_RENEW, 1, name, token, self._lease_ms):
                    return
            except redis.RedisError as error:  # tried again until the flight lands
                log.warning("flight_not_renewed", flight=name, reason=str(error))

    def _land(self, name: str, token: str) -> None:
        try:
            self._client.eval(_LAND, 1, name, token)
        except redis.RedisError as error:  # it ends by itself when its lease does
            log.warning("flight_not_landed", flight=name, reason=str(error))
