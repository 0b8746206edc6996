"""Decides which IP addresses may be called: public Internet addresses only.

Based on the IANA special-purpose registries (RFC 6890 and later for IPv4, and the one for IPv6). IPv6
multicast, site-local and unallocated addresses are excluded too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""Every address ever allocated to the Internet. Link-local, site-local (fec0::/10), unique local, multicast,
discard-only and segment-routing addresses are outside."""
_NOT_FOR_HOSTS_6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID, AMT ...
            "2001:db8::/32",  # documentation
            "3fff::/20",  # documentation
            "2620:4f:8000::/48",  # AS112
        ),
    )
)
_NOT_FOR_HOSTS_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT
            "127.0.0.0/8",
            "169.254.0.0/16",  # link-local, metadata services of clouds
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_LAST_32_BITS = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96")))
"""IPv6 ranges that contain an IPv4 address in their last 32 bits (RFC 4291, RFC 6052)."""
_LOOKUP_SECONDS = 2.0


def is_public(address: str) -> bool:
    """Whether an IP address is a public one: not of this machine, not of this network, and not reserved.

    An address that embeds an IPv4 address (mapped, NAT64, 6to4) is judged by that one. Teredo addresses count
    as not public, because they lead through third-party servers.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    carried = _carried(parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed
    if carried is not None:
        return not any(carried in network for network in _NOT_FOR_HOSTS_4)
    return parsed in _GLOBAL_UNICAST and not any(parsed in network for network in _NOT_FOR_HOSTS_6)


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that a gateway or a tunnel would use; None for a plain IPv6 address."""
    if any(address in network for network in _LAST_32_BITS):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.sixtofour


async def addresses_of(host: str, port: int) -> list[str]:
    """The IP addresses of a host, at least one. Raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def is_private_host(host: str, port: int) -> bool:
    """Whether a host is known to be private, by its name or by the addresses of its name.

    False if the name cannot be resolved now.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal", ".home.arpa")):
        return True
    try:
        async with asyncio.timeout(_LOOKUP_SECONDS):
            addresses = await addresses_of(name, port)
    except (OSError, TimeoutError, UnicodeError):
        return False
    return not all(map(is_public, addresses))
