"""Slows down guessing of API keys, per address.

An address may try some wrong keys at once, then one every few seconds. Further tries are refused without a
check, so that guessing reveals nothing. Other clients may share the address, and behind a proxy all of them
do. So a key that was recently correct from an address is always accepted from there.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

AT_ONCE = 40
"""Wrong keys that an address may try at once."""
SECONDS_PER_TRY = 3.0
_KNOWN_SECONDS = 86_400.0
_MOST = 10_000
"""Limit on remembered addresses, and on remembered correct keys."""

Key = TypeVar("Key")


class WrongKeys:
    """Remembers the failed tries of each address. For the event loop only; each process counts separately."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns seconds since any fixed start."""
        self._clock = clock
        self._paid_until: _Latest[str] = _Latest(_MOST)
        """Address -> time at which all its tries are available again."""
        self._right: _Latest[tuple[str, bytes]] = _Latest(_MOST)
        """(address, digest of a key) -> when it was last correct there. Only correct keys are stored, so
        guessing cannot push them out."""

    def wait(self, address: str, digest: bytes) -> float | None:
        """Seconds until a key from this address is checked; None if it is checked now."""
        now, place = self._clock(), place_of(address)
        seen = self._right.get((place, digest))
        if seen is not None and now - seen < _KNOWN_SECONDS:
            return None
        left = self._paid(place, now) + SECONDS_PER_TRY - AT_ONCE * SECONDS_PER_TRY - now
        return left if left > 0 else None

    def was_wrong(self, address: str) -> None:
        """Record an unknown key from this address."""
        now, place = self._clock(), place_of(address)
        self._paid_until.put(place, self._paid(place, now) + SECONDS_PER_TRY)

    def was_right(self, address: str, digest: bytes) -> None:
        """Record a correct key from this address."""
        self._right.put((place_of(address), digest), self._clock())

    def _paid(self, place: str, now: float) -> float:
        return max(now, self._paid_until.get(place) or now)


class _Latest(Generic[Key]):
    """Numbers by name, limited in count; the entry that was set longest ago is dropped first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, float] = OrderedDict()

    def get(self, name: Key) -> float | None:
        return self._values.get(name)

    def put(self, name: Key, value: float) -> None:
        self._values[name] = value
        self._values.move_to_end(name)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def __len__(self) -> int:
        return len(self._values)


def place_of(address: str) -> str:
    """An IPv4 address, or the /64 network of an IPv6 address, because one client has a whole network."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False))
