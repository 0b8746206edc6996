"""Make one mp4 of several that were written by `LiveEncoder`, without encoding anything again.

Each may have been cut off at any byte, as by a process that was killed. What is complete in it is kept.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from sadtalker_service.errors import UnreadableVideo
from sadtalker_service.files import output_errors, whole_file
from sadtalker_service.media.encoder import NO_TAGS

_OVERLAP = Fraction(1, 100)
"""Seconds that the sound of one part may reach into the next one. An AAC frame is 21 ms long."""


@dataclass(frozen=True)
class Joined:
    """What was made."""

    width: int
    height: int
    frames: int
    seconds: float


def join(parts: Sequence[Path], output: Path, fps: int, tags: Mapping[str, str] = NO_TAGS) -> Joined:
    """Write `output`, an mp4 whose index is at its beginning, from parts of the same size and quality.

    The metadata of the file are `tags`. Memory does not grow with the size of the parts, except for the index
    (some bytes per frame). Raises `UnreadableVideo` if no part has a frame, `OutputError`.
    """
    with whole_file(output) as unfinished, output_errors(output):
        options = {"movflags": "+faststart"}
        with av.open(str(unfinished), "w", format="mp4", options=options) as target:
            target.metadata.update(tags)
            joining = _Joining(target, fps)
            for part in parts:
                joining.add(part)
        if not joining.frames:
            raise UnreadableVideo("The recording has no frame.")
    return Joined(*joining.size, joining.frames, joining.frames / fps)


class _Joining:
    """The state between two parts."""

    def __init__(self, target: OutputContainer, fps: int) -> None:
        self._target = target
        self._fps = fps
        self._tracks: dict[str, Stream] = {}
        self.frames = 0
        self.size = (0, 0)
        self._sound_until = Fraction(-1)
        """End of the sound so far, seconds."""

    def add(self, part: Path) -> None:
        """Append a part. One without a whole frame adds nothing."""
        begin = Fraction(self.frames, self._fps)
        for packet in _packets(part):
            kind = packet.stream.type
            if not self._tracks:
                self._describe(cast("InputContainer", packet.stream.container))
            shift = round(begin / packet.time_base)
            packet.pts, packet.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
            if kind == "audio":
                start = packet.pts * packet.time_base
                if self.frames and start < max(begin, self._sound_until - _OVERLAP):
                    continue  # priming, or the end of the part before
                self._sound_until = start + (packet.duration or 0) * packet.time_base
            else:
                self.frames += 1
            packet.stream = self._tracks[kind]
            self._target.mux(packet)

    def _describe(self, source: InputContainer) -> None:
        video, audio = source.streams.video[0], source.streams.audio[0]
        for stream in (video, audio):
            self._tracks[stream.type] = self._target.add_stream_from_template(stream)
        self.size = (video.width, video.height)


def _packets(part: Path) -> Iterator[Packet[Stream]]:
    """The packets that are complete, in their order."""
    with part.open("rb") as file:
        length = complete_bytes(file)
        if not length:
            return
        try:
            with av.open(_Beginning(file, length), mode="r", format="mp4") as source:
                if not (source.streams.video and source.streams.audio):
                    return
                for packet in source.demux(video=0, audio=0):
                    if packet.size and packet.dts is not None and not packet.is_corrupt:
                        yield packet
        except av.FFmpegError:  # damaged in another way
            return


def complete_bytes(file: BinaryIO) -> int:
    """Length of the complete boxes at the beginning of an mp4; a fragment's index counts only with its data.

    FFmpeg cannot open a short file that ends within a box or between a description and its data.
    """
    end = file.seek(0, os.SEEK_END)
    at = found = 0
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size < 8 or at + size > end:  # cut off, or none of the boxes that `LiveEncoder` writes
            break
        at += size
        if kind != b"moof":
            found = at
    return found


class _Beginning(io.RawIOBase):
    """The first bytes of a file, for PyAV."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._length = file, length
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._length - self._file.tell())
        return self._file.read(left if size < 0 else min(size, left))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            offset, whence = self._length + offset, os.SEEK_SET
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
