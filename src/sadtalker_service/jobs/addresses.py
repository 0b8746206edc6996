"""Which addresses may be called from here: those of the whole Internet, and no others.

By the special-purpose registries of IANA (IPv4: RFC 6890 and after; IPv6: the same, and of the multicast, the
site-local and the unallocated space nothing).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that was ever allocated to the Internet: link-local, site-local (fec0::/10), unique local, multicast,
discard-only and segment-routing addresses lie outside."""
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
"""Forms in which an IPv6 address carries an IPv4 one at its end (RFC 4291, RFC 6052)."""
_LOOKUP_SECONDS = 2.0


def is_public(address: str) -> bool:
    """Whether an IP address is one of the whole Internet: not of this machine, this network, or nobody's.

    An address that leads to an IPv4 one (mapped, NAT64, 6to4) is judged by that one. Teredo is not called at
    all: it leads through servers of others.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    carried = _carried(parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed
    if carried is not None:
        return not any(carried in network for network in _NOT_FOR_HOSTS_4)
    return parsed in _GLOBAL_UNICAST and not any(parsed in network for network in _NOT_FOR_HOSTS_6)


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address to which a gateway or a tunnel would lead; None for an address of its own right."""
    if any(address in network for network in _LAST_32_BITS):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.sixtofour


async def addresses_of(host: str, port: int) -> list[str]:
    """The IP addresses of a host, at least one. Raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def is_private_host(host: str, port: int) -> bool:
    """Whether a host is known not to be one of the Internet: by its name, or by what the name leads to now.

    False also where nobody knows the name at this moment.
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
