"""Boxes of an mp4 stream (ISO/IEC 14496-12): piece boundaries, track start times, box contents."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Protocol

_HEADER = struct.Struct(">I4s")
"""Size of a box in bytes, including these eight, and its type."""
_EDIT = struct.Struct(">I4sI4sIIIiI")
"""`edts` with an `elst` of one entry: sizes and types, version and flags, number of entries, duration,
media time, rate as 16.16 fixed point."""


class Writable(Protocol):
    """Anything that accepts bytes in order: a socket, a growing buffer, a file."""

    def write(self, data: bytes, /) -> int:
        """Write all of `data` and return the number of bytes."""


class Pieces:
    """Splits the fragmented mp4 that FFmpeg writes into whole pieces and passes them on.

    The first piece is `ftyp` and `moov`. Each further piece is a `moof` with its `mdat`. Never raises into
    FFmpeg, which would keep the error for a later call, even for another file. `check` raises it instead.
    """

    def __init__(self, target: Writable, delays: Sequence[Fraction]) -> None:
        """An edit list cuts `delays`, in seconds, from the start of each track.

        FFmpeg itself would write one only after it has seen the first packets.
        """
        self._target = target
        self._delays = delays
        self._waiting = bytearray()
        self._seen = 0
        """Number of bytes of `_waiting` that form whole boxes."""
        self._error: OSError | None = None
        self._stopped = False

    def write(self, data: bytes, /) -> int:
        """Accept the next bytes."""
        if self._stopped:
            return len(data)
        self._waiting += data
        while not self._stopped and len(self._waiting) >= self._seen + _HEADER.size:
            size, kind = _HEADER.unpack_from(self._waiting, self._seen)
            if len(self._waiting) < self._seen + size:
                break
            self._seen += size
            if kind in {b"moov", b"mdat"}:
                self._hand_on(kind)
        return len(data)

    def check(self) -> None:
        """Raise the error of the target, if there was one."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Pass on nothing more."""
        self._stopped = True

    def _hand_on(self, kind: bytes) -> None:
        piece = bytes(self._waiting[: self._seen])
        del self._waiting[: self._seen]
        self._seen = 0
        try:
            self._target.write(_with_edit_lists(piece, self._delays) if kind == b"moov" else piece)
        except OSError as error:
            self._error = error
            self.stop()


def _with_edit_lists(initialisation: bytes, delays: Sequence[Fraction]) -> bytes:
    """The segment with an edit list in each track, in order, that skips the first `delay` seconds."""
    data = initialisation
    moov = next(at for kind, at, _ in _boxes(data, 0, len(data)) if kind == b"moov")
    tracks = [at for kind, at, _ in _inside(data, moov) if kind == b"trak"]
    # Last track first, so that the offsets of the others stay valid.
    for track, delay in reversed(list(zip(tracks, delays, strict=True))):
        data = _with_edit_list(data, moov, track, delay)
    return data


def _with_edit_list(data: bytes, moov: int, trak: int, delay: Fraction) -> bytes:
    inside = {kind: (at, end) for kind, at, end in _inside(data, trak)}
    header = next(at for kind, at, _ in _inside(data, inside[b"mdia"][0]) if kind == b"mdhd")
    # Version 0 has version and flags, two 32-bit times, then the time scale.
    (scale,) = struct.unpack_from(">I", data, header + _HEADER.size + 12)
    edit = _EDIT.pack(_EDIT.size, b"edts", _EDIT.size - 8, b"elst", 0, 1, 0, round(delay * scale), 1 << 16)
    after = inside[b"tkhd"][1]
    data = data[:after] + edit + data[after:]
    for box in (moov, trak):
        size, kind = _HEADER.unpack_from(data, box)
        data = data[:box] + _HEADER.pack(size + len(edit), kind) + data[box + _HEADER.size :]
    return data


def _inside(data: bytes, box: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of the boxes inside the box that starts at `box`."""
    size, _ = _HEADER.unpack_from(data, box)
    return _boxes(data, box + _HEADER.size, box + size)


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while at < end:
        size, kind = _HEADER.unpack_from(data, at)
        yield kind, at, at + size
        at += size


class Collected:
    """Collects pieces until they are taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        """Keep `data` and return its length."""
        self._pieces.append(data)
        return len(data)

    def taken(self) -> list[bytes]:
        """The pieces since the last call."""
        pieces, self._pieces = self._pieces, []
        return pieces
