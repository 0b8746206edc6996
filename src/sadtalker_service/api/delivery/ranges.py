"""Byte ranges of RFC 9110. One range is served; for several, the whole file is sent, as the RFC allows."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE = re.compile(r"\s*bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class ByteRange:
    """Bytes `first` up to and including `last` of a file."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.last - self.first + 1

    def header(self, size: int) -> str:
        """The value of `Content-Range`."""
        return f"bytes {self.first}-{self.last}/{size}"


class UnsatisfiableRange(Exception):
    """The range is outside the file."""


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The range that `header` requests of a file of `size` bytes; None for the whole file.

    An invalid header, or one with several ranges, is ignored. Raises `UnsatisfiableRange`.
    """
    found = _ONE.fullmatch(header or "")
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:  # a suffix: the last N bytes
        length = int(found[2])
        if length == 0 or size == 0:
            raise UnsatisfiableRange(header)
        return ByteRange(max(0, size - length), size - 1)
    first = int(found[1])
    last = min(int(found[2]), size - 1) if found[2] else size - 1
    if found[2] and int(found[2]) < first:
        return None  # not a range at all
    if first >= size:
        raise UnsatisfiableRange(header)
    return ByteRange(first, last)
