"""Guessing keys is slowed down, address by address.

An address may try some wrong keys at once, then one every few seconds; what it tries beyond that is refused
unseen, so that guessing tells nothing. Others may live behind the same address, behind a proxy all of them:
a key that was right there lately is let through whatever else comes from there.
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
"""Addresses, and right keys at addresses, that are remembered."""

Key = TypeVar("Key")


class WrongKeys:
    """Remembers who tried what. For the event loop; each process counts for itself."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds from any start."""
        self._clock = clock
        self._paid_until: _Latest[str] = _Latest(_MOST)
        """Address -> when its tries will all be there again."""
        self._right: _Latest[tuple[str, bytes]] = _Latest(_MOST)
        """(address, digest of a key) -> when it was right there last. Only right keys come in here: nobody
        can push them out by guessing."""

    def wait(self, address: str, digest: bytes) -> float | None:
        """Seconds until a key from this address is looked at; None for now."""
        now, place = self._clock(), place_of(address)
        seen = self._right.get((place, digest))
        if seen is not None and now - seen < _KNOWN_SECONDS:
            return None
        left = self._paid(place, now) + SECONDS_PER_TRY - AT_ONCE * SECONDS_PER_TRY - now
        return left if left > 0 else None

    def was_wrong(self, address: str) -> None:
        """A key from this address was not known."""
        now, place = self._clock(), place_of(address)
        self._paid_until.put(place, self._paid(place, now) + SECONDS_PER_TRY)

    def was_right(self, address: str, digest: bytes) -> None:
        """A key from this address was known."""
        self._right.put((place_of(address), digest), self._clock())

    def _paid(self, place: str, now: float) -> float:
        return max(now, self._paid_until.get(place) or now)


class _Latest(Generic[Key]):
    """Numbers by name; the name that was set longest ago makes room."""

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
    """An IPv4 address; of an IPv6 one the network, of which a single client has all addresses."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False))
