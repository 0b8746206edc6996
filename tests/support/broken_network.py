"""A network between a client and a service that breaks when it is told to."""

from __future__ import annotations

import re
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_PIECE = 65_536


@dataclass(frozen=True)
class Fault:
    """What happens to a connection."""

    answer: bytes | None = None
    """Sent instead of the service's answer; the service does not get the request."""
    cut_after: int = 0
    """Otherwise: the connection is closed after so many bytes of the service's answer."""


@dataclass
class BrokenNetwork:
    """A TCP proxy. The n-th connection from now on has the n-th fault; further ones have none."""

    target: tuple[str, int]
    listener: socket.socket
    faults: deque[Fault] = field(default_factory=deque)
    heads: list[str] = field(default_factory=list)
    """First request of each connection, its headers in lower case."""

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        """Until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                fault = self.faults.popleft() if self.faults else None
                threading.Thread(target=self._connection, args=(client, fault), daemon=True).start()

    def _connection(self, client: socket.socket, fault: Fault | None) -> None:
        with client, suppress(OSError):
            begin = _whole_request(client) if fault and fault.answer else _head(client)
            self.heads.append(begin.partition(b"\r\n\r\n")[0].decode("latin-1").lower())
            if fault and fault.answer:
                client.sendall(fault.answer)
                return
            with socket.create_connection(self.target) as server:
                server.sendall(begin)
                threading.Thread(target=_forward, args=(client, server), daemon=True).start()
                _forward(server, client, fault.cut_after if fault else None)


@contextmanager
def broken_network(url: str) -> Iterator[BrokenNetwork]:
    """Context manager with a network to the service at `url`."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        network = BrokenNetwork((parts.hostname, parts.port), listener)
        thread = threading.Thread(target=network.serve, daemon=True)
        thread.start()
        yield network
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def refusal(status: str, *headers: str) -> Fault:
    """An answer with `status`, such as one of a proxy."""
    lines = (f"HTTP/1.1 {status}", "Content-Length: 0", "Connection: close", *headers, "", "")
    return Fault("\r\n".join(lines).encode())


def _head(client: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and (piece := client.recv(_PIECE)):
        data += piece
    return data


def _whole_request(client: socket.socket) -> bytes:
    data = _head(client)
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    missing = (int(length[1]) if length else 0) - len(body)
    while missing > 0 and (piece := client.recv(_PIECE)):
        data += piece
        missing -= len(piece)
    return data


def _forward(source: socket.socket, target: socket.socket, most: int | None = None) -> None:
    """Copy until either side ends, or until `most` bytes; then both end."""
    sent = 0
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            if most is not None and sent + len(piece) > most:
                target.sendall(piece[: most - sent])
                break
            target.sendall(piece)
            sent += len(piece)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
