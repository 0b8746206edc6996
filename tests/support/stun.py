"""A STUN server (RFC 8489) that answers binding requests with an address of its own choice."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Self

_COOKIE = 0x2112A442
_REQUEST, _SUCCESS, _XOR_MAPPED = 0x0001, 0x0101, 0x0020


class StunServer:
    """Answers on a free UDP port of the loopback, as a context manager."""

    def __init__(self, claimed: str) -> None:
        """`claimed` is the IPv4 address that every client is told to have."""
        self._claimed = claimed
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"stun:127.0.0.1:{self._socket.getsockname()[1]}"
        self.clients: set[tuple[str, int]] = set()
        """Addresses that have asked."""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while True:
            data, client = self._socket.recvfrom(2048)
            if not data:
                return
            kind, _, cookie = struct.unpack_from(">HHI", data)
            if (kind, cookie) != (_REQUEST, _COOKIE):
                continue
            self.clients.add(client)
            self._socket.sendto(self._answer(data[8:20], client[1]), client)

    def _answer(self, transaction: bytes, port: int) -> bytes:
        (address,) = struct.unpack(">I", socket.inet_aton(self._claimed))
        body = struct.pack(">HHBBHI", _XOR_MAPPED, 8, 0, 1, port ^ (_COOKIE >> 16), address ^ _COOKIE)
        return struct.pack(">HHI", _SUCCESS, len(body), _COOKIE) + transaction + body
