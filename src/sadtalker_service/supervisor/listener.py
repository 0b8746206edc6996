"""The listening socket of the service. It is opened before anything starts and kept while the API restarts,
so a request at that moment waits instead of being refused."""

from __future__ import annotations

import errno
import ipaddress
import socket

from sadtalker_service.errors import StartFailed

_ANOTHER_PORT = "choose another one: --port NUMBER, or make serve PORT=NUMBER"
_REASONS = {
    errno.EADDRINUSE: f"another program listens there; {_ANOTHER_PORT}",
    errno.EADDRNOTAVAIL: "this machine does not have that address; choose another one with --host",
    errno.EACCES: f"ports below 1024 need rights; {_ANOTHER_PORT}",
}


_WAITING = 2_048
"""Connections that may wait to be accepted. The system has its own limit (4096)."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, on a free port if `port` is 0. The caller closes it.

    Raises `StartFailed` if the address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            # do not fail because of connections from an earlier run that are still closing
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_WAITING)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror)
        raise StartFailed(f"Cannot listen on {host}, port {port}: {reason}.") from error
    return listener


def address_for_clients(host: str, port: int) -> str:
    """Base URL for clients on this machine: `http://127.0.0.1:8000`."""
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - taken apart
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_public(host: str) -> bool:
    """Whether other machines may reach this address."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
