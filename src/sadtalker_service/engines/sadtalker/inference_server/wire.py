"""Protocol between workers and the inference server: one connection per request, over a Unix socket.

A message is a line of JSON and the bytes of its arrays. Nothing is unpickled, so a peer can at worst send
wrong numbers. The permissions of the socket's folder control who may connect.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

VERSION = 2
"""Version of the protocol. Changes with it."""

_LONGEST_LINE = 100_000
_TYPES = frozenset({"|u1", "<f2", "<f4"})


class ChannelClosed(Exception):
    """The peer is gone, or sent an invalid message."""


@dataclass(frozen=True, eq=False)
class Message:
    """A request or a response."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """uint8, float16 or float32."""


class Channel:
    """One side of a connection. As a context manager, it closes at the end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, message: Message) -> None:
        """Send a message. Returns when the system has accepted all of it, so a slow reader blocks the sender.

        Raises `ChannelClosed`.
        """
        arrays = {name: np.ascontiguousarray(array) for name, array in message.arrays.items()}
        shapes = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
        line = json.dumps({"values": dict(message.values), "arrays": shapes}, separators=(",", ":"))
        try:
            self._connection.send_bytes(line.encode())
            for array in arrays.values():
                if array.size:
                    self._connection.send_bytes(array.reshape(-1).view(np.uint8).data)
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self) -> Message:
        """Wait for a message. Raises `ChannelClosed`."""
        try:
            line = json.loads(self._connection.recv_bytes(_LONGEST_LINE))
            arrays = {name: self._array(kind, shape) for name, kind, shape in line["arrays"]}
            return Message(line["values"], arrays)
        except (OSError, EOFError) as error:
            raise ChannelClosed("The connection has ended.") from error
        except (ValueError, TypeError, KeyError) as error:
            raise ChannelClosed(f"The message cannot be read: {error}") from error

    def close(self) -> None:
        """Close the connection. The peer notices when it sends or waits."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _array(self, kind: str, shape: list[int]) -> NDArray[Any]:
        if kind not in _TYPES:
            raise ValueError(f"arrays of type {kind} are not supported")
        array = np.empty(shape, np.dtype(kind))
        if array.size:
            count = self._connection.recv_bytes_into(array.reshape(-1).view(np.uint8).data)
            if count != array.nbytes:
                raise ValueError("an array is shorter than announced")
        return array
