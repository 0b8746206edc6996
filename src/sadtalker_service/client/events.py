"""Server-sent events from bytes (HTML standard, "Interpreting an event stream")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """An event."""

    data: str
    last_id: str | None
    """The id of this event, or of an earlier one if it has none."""


class EventReader:
    """Takes the bytes of one answer in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._last_id: str | None = None

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that are complete with `piece`."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            text = line.removesuffix(b"\r").decode(errors="replace")
            if not text:
                yield from self._complete()
                continue
            name, _, value = text.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                self._data.append(value)
            elif name == "id":
                self._last_id = value

    def _complete(self) -> Iterator[Event]:
        if self._data:
            yield Event("\n".join(self._data), self._last_id)
        self._data = []
