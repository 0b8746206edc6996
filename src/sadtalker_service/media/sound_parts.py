"""Find several recordings in one file, and headers that announce a wrong length.

Text to speech that is saved as it streams in is often a series of complete WAV files in one file, or one WAV
header with more samples than it announces. FFmpeg reads the first recording and stops silently.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import RawIOBase
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from sadtalker_service.errors import UnreadableAudio

MOST_PARTS = 2_000
"""Largest number of joined recordings in one file. More is an attack on memory."""

_WAV_HEAD = re.compile(rb"RIFF.{4}WAVE", re.DOTALL)
_AIFF_HEAD = re.compile(rb"FORM.{4}AIF[FC]", re.DOTALL)
_FLAC_HEAD = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
"""Includes the header of the block that must come first."""
_OGG_PAGE = re.compile(rb"OggS\x00[\x00-\x07]")
_OGG_FIRST = 2
"""Flag of a page that starts a stream."""
_UNKNOWN_LENGTH = 0x7FFF_F000
"""Lengths from here on, and 0, come from programs that stream and cannot return to the header."""
_SOME_SECONDS = 0.1
"""Less than this after the samples is padding."""
_TAGS = (b"ID3", b"TAG", b"APETAGEX")
_CHUNK_NAME = re.compile(rb"[A-Za-z0-9 _\-]{4}")
_SAMPLE_FORMATS = frozenset({0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE})
"""WAV formats in which any bytes can be read as samples: integers, floats, A-law, mu-law."""


@dataclass(frozen=True)
class Part:
    """One recording within a file."""

    start: int
    """First byte."""
    end: int
    """First byte after it."""
    announced: float = 0.0
    """Seconds that the header announces and the file lacks. 0 if there are none or the length is unknown."""
    beyond: float = 0.0
    """Seconds of samples after the announced ones."""
    cut: bool = False
    """Whether it ends in the middle of a unit, with an unknown amount missing."""
    options: dict[str, str] = field(default_factory=dict)
    """Options for FFmpeg's demuxer."""


def parts_of(path: Path) -> list[Part]:
    """The recordings in a file, in order. Most files have one, and so do files that are not audio.

    Raises:
        UnreadableAudio: more than `MOST_PARTS`.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if size < 12:
        return [Part(0, size)]
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        starts = [0]
        for start in _later_starts(data):
            starts.append(start)
            if len(starts) > MOST_PARTS:
                raise UnreadableAudio(
                    f"{path.name} is more than {MOST_PARTS:,} recordings in one file. Join them into one.",
                    param="driven_audio",
                )
        spans = list(pairwise([*starts, size]))
        if _WAV_HEAD.match(data):
            return [_wav_part(data, *span) for span in spans]
        if _OGG_PAGE.match(data):
            return [Part(*span, cut=_ends_within_page(data, *span)) for span in spans]
        return [Part(*span) for span in spans]


def _later_starts(data: mmap.mmap) -> Iterator[int]:
    """First bytes of all recordings after the first."""
    for head in (_WAV_HEAD, _AIFF_HEAD, _FLAC_HEAD):
        if head.match(data):
            yield from (found.start() for found in head.finditer(data, 12))
    if _OGG_PAGE.match(data):
        yield from _ogg_links(data)
    if data[4:8] == b"ftyp":
        yield from _mp4_starts(data)


def _ogg_links(data: mmap.mmap) -> Iterator[int]:
    """Pages that start a stream after others have continued, as in a chained Ogg file."""
    in_head = True
    for found in _OGG_PAGE.finditer(data):
        first = bool(data[found.start() + 5] & _OGG_FIRST)
        if first and not in_head:
            yield found.start()
        in_head = first


def _ends_within_page(data: mmap.mmap, start: int, end: int) -> bool:
    """Whether the last Ogg page is longer than the data."""
    at = data.rfind(b"OggS\x00", start, end)
    count = data[at + 26] if at >= 0 and at + 27 <= end else 0
    return at < 0 or at + 27 + count + sum(data[at + 27 : at + 27 + count]) > end


def _mp4_starts(data: mmap.mmap) -> Iterator[int]:
    """`ftyp` boxes after the first, at the outermost level, with samples before them."""
    at, samples = 0, False
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size == 1 and at + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, at + 8)
        if size < 8:
            return
        if name == b"ftyp" and samples:
            yield at
            samples = False
        samples |= name == b"mdat"
        at += size


def _wav_part(data: mmap.mmap, start: int, end: int) -> Part:
    """A WAV file from `start` to `end`, with its chunks compared to the data."""
    byte_rate, tag = 0, 0
    for name, at, size in _chunks(data, start + 12, end):  # noqa: B007  the last one counts
        if name == b"fmt " and at + 12 <= end:
            tag, _, _, byte_rate = struct.unpack_from("<HHII", data, at)
        if name == b"data":
            break
    else:
        return Part(start, end)
    if byte_rate == 0 or size == 0 or size >= _UNKNOWN_LENGTH:
        return Part(start, end)
    if at + size > end:
        return Part(start, end, announced=(at + size - end) / byte_rate)
    left = end - (at + size + size % 2)
    if tag in _SAMPLE_FORMATS and left > _SOME_SECONDS * byte_rate and not _is_chunk(data, end - left, end):
        return Part(start, end, beyond=left / byte_rate, options={"ignore_length": "1"})
    return Part(start, end)


def _chunks(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and announced size of the chunks of a RIFF file."""
    while at + 8 <= end:
        name, size = struct.unpack_from("<4sI", data, at)
        yield name, at + 8, size
        at += 8 + size + size % 2


def _is_chunk(data: mmap.mmap, at: int, end: int) -> bool:
    """Whether a chunk or a tag starts here, rather than samples."""
    name, size = struct.unpack_from("<4sI", data, at) if at + 8 <= end else (b"", 0)
    return name.startswith(_TAGS) or bool(_CHUNK_NAME.fullmatch(name) and at + 8 + size <= end + 1)


class Window(RawIOBase):
    """The bytes of a part as a separate file, for FFmpeg."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        super().__init__()
        self._file = file
        self._start = part.start
        self._size = part.end - part.start
        self._at = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        left = max(0, self._size - self._at)
        self._file.seek(self._start + self._at)
        found = self._file.read(left if size < 0 else min(size, left))
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek as in a file."""
        self._at = max(0, (0, self._at, self._size)[whence] + offset)
        return self._at

    def tell(self) -> int:
        """Bytes from the start of the part."""
        return self._at
