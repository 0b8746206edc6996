"""Decode the audio of a file one frame at a time, at the times of its packets.

Missing packets (a muted microphone, Opus DTX, a lost connection) become silence of the same length. Times are
counted from the first sample that the codec outputs after its priming samples are dropped.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import av

from sadtalker_service.errors import UnreadableAudio
from sadtalker_service.media.sound_block import Block, block_of
from sadtalker_service.media.sound_parts import Part, Window, parts_of
from sadtalker_service.media.sound_times import Clock, TrackLog, announced_seconds

_HEAD = 65_536
"""Number of bytes at the start of a file, which contain its header."""
_MOST_ERRORS = 20
"""Number of consecutive demuxer errors after which the rest is given up."""

_FOREIGN_DEMUXERS = frozenset(
    {
        *("alias_pix", "concat", "dash", "hls", "image2", "image2pipe", "imf", "lavfi", "rtp", "rtsp", "sap"),
        *("sdp", "segment", "smoothstreaming", "tedcaptions", "webm_dash_manifest"),
    }
)
"""Formats whose files refer to other files or addresses. An upload could read files that are not its own."""

_MEDIA_TYPES = {
    "aac": "aac", "avi": "x-msvideo", "flac": "flac", "matroska": "webm", "mp3": "mpeg", "mp4": "mp4",
    "mpegts": "mp2t", "ogg": "ogg", "wav": "wav",
}  # fmt: skip
"""FFmpeg's name of a format -> subtype of the media type."""
_COVER = av.stream.Disposition.attached_pic
"""Marks the cover image of an audio file, which is not a video."""


@dataclass
class FileLog:
    """What happened to a file while it was read."""

    tracks: list[TrackLog] = field(default_factory=list)
    parts: int = 1
    """Recordings that were joined into this file."""
    beyond: float = 0.0
    """Seconds of samples that were read although the header does not announce them."""
    cut: bool = False
    """Whether a recording ends in the middle of a unit."""
    broken: float = 0.0
    """Bytes at the end that the demuxer gave up on, as a share of those before, or 0 if there are none."""


class SoundFile:
    """The audio tracks of a file. `log` describes what did not decode after `blocks` has been read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.log = FileLog()

    def track_count(self) -> tuple[int, int]:
        """Number of audio tracks with a decoder, and the one that FFmpeg considers the main track.

        Raises:
            UnreadableAudio: the file is not a media file, or has no audio stream with a decoder.
        """
        with self._open(self._parts()[0]) as container:
            streams = self._streams(container)
            best = container.streams.best("audio")
            return len(streams), streams.index(best) if best in streams else 0

    def blocks(self, tracks: Sequence[int]) -> Generator[tuple[int, Block]]:
        """Decoded frames of some tracks as (track, frame), each track in order.

        Packets that do not decode are skipped and counted. If they leave a gap, it becomes silence.

        Raises:
            UnreadableAudio: the file is not a media file, or has no audio stream with a decoder.
        """
        parts = self._parts()
        self.log = FileLog(
            [TrackLog() for _ in range(max(tracks) + 1)],
            len(parts),
            sum(part.beyond for part in parts),
            any(part.cut for part in parts),
        )
        for number, part in enumerate(parts):
            try:
                with self._open(part) as container:
                    yield from self._part_blocks(container, part, tracks)
            except UnreadableAudio:
                if number == 0:
                    raise
                for track in tracks:
                    self.log.tracks[track].bad += 1

    def announced_seconds(self, track: int) -> float | None:
        """Seconds of a track as far as its container says, or None. What decodes may differ.

        Raises:
            UnreadableAudio: the file is not a media file, or has no audio stream with a decoder.
        """
        parts = self._parts()
        if len(parts) > 1 or parts[0].beyond:
            return None
        with self._open(parts[0]) as container:
            stream = self._streams(container)[track]
            if stream.duration and stream.time_base:
                return float(stream.duration * stream.time_base)
            return container.duration / av.time_base if container.duration else None

    def refuse_mostly_damaged(self) -> None:
        """Raise UnreadableAudio if more frames failed than decoded."""
        good, bad = (sum(getattr(t, name) for t in self.log.tracks) for name in ("good", "bad"))
        if bad > good:
            raise UnreadableAudio(
                f"{self._path.name} is damaged: {bad} of {bad + good} parts do not decode. "
                "Save it again, for example as WAV.",
                param="driven_audio",
            )

    def media_type(self) -> str:
        """`audio/mpeg`, or `video/mp4` if the file has video.

        Raises `UnreadableAudio`.
        """
        with self._open(self._parts()[0]) as container:
            names = container.format.name.split(",")
            moving = any(s.frames != 1 and not s.disposition & _COVER for s in container.streams.video)
        kind = next((_MEDIA_TYPES[name] for name in names if name in _MEDIA_TYPES), f"x-{names[0]}")
        return f"{'video' if moving else 'audio'}/{kind}"

    def _part_blocks(self, container: Any, part: Part, tracks: Sequence[int]) -> Iterator[tuple[int, Block]]:
        streams = self._streams(container)
        wanted = {streams[t].index: t for t in tracks if t < len(streams)}
        clocks = {t: Clock(self.log.tracks[t]) for t in wanted.values()}
        for packet in self._packets(container, [streams[t] for t in wanted.values()], part):
            track = wanted[packet.stream.index]
            for frame in self._decoded(packet, self.log.tracks[track]):
                block = self._counted(frame, self.log.tracks[track])
                if block is not None:
                    yield from ((track, piece) for piece in clocks[track].in_time(frame, block))
        for track, clock in clocks.items():
            announced = part.announced or announced_seconds(container, streams[track], self._head(part))
            self.log.tracks[track].missing += clock.missing(announced, of_part=bool(part.announced))

    def _packets(self, container: Any, streams: list[Any], part: Part) -> Iterator[Any]:
        """Packets up to the end of the file, past the errors of the demuxer."""
        errors, reached = 0, 0
        while errors < _MOST_ERRORS:
            try:
                for packet in container.demux(*streams):
                    errors, reached = 0, max(reached, (packet.pos or 0) + packet.size)
                    yield packet
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                errors += 1  # a generator that raised is exhausted, so a new one continues after the error
                continue
            return
        self.log.broken = max(self.log.broken, (part.end - part.start - reached) / max(reached, 1))

    @staticmethod
    def _decoded(packet: Any, log: TrackLog) -> list[Any]:
        try:
            return list(packet.decode())
        except av.error.EOFError:
            return []
        except (av.error.FFmpegError, ValueError):
            log.bad += 1
            return []

    @staticmethod
    def _counted(frame: Any, log: TrackLog) -> Block | None:
        try:
            block = block_of(frame)
        except (av.error.FFmpegError, ValueError):
            block = None
        log.good += block is not None
        log.bad += block is None
        return block

    def _streams(self, container: Any) -> list[Any]:
        streams = [s for s in container.streams.audio if getattr(s, "codec_context", None) is not None]
        if not streams:
            raise UnreadableAudio(
                f"{self._path.name} has no audio track. Use a file with a voice recording.",
                param="driven_audio",
            )
        return streams

    def _parts(self) -> list[Part]:
        try:
            return parts_of(self._path)
        except (OSError, ValueError) as error:  # a folder, or a deleted file
            raise self._unreadable() from error

    @contextmanager
    def _open(self, part: Part) -> Iterator[Any]:
        options = {"format_whitelist": own_demuxers(), "protocol_whitelist": "file", **part.options}
        whole = part.start == 0 and part.end == self._path.stat().st_size
        # The file: prefix keeps FFmpeg from treating names such as "concat:a|b" or "http:x" as addresses.
        with self._path.open("rb") as file:
            source: Any = f"file:{self._path}" if whole else Window(file, part)
            try:
                container = av.open(source, mode="r", options=options, metadata_errors="ignore")
            except (av.error.FFmpegError, OSError, ValueError) as error:
                raise self._unreadable() from error
            with container:
                yield container

    def _head(self, part: Part) -> bytes:
        with self._path.open("rb") as file:
            return Window(file, part).read(_HEAD)

    def _unreadable(self) -> UnreadableAudio:
        return UnreadableAudio(
            f"{self._path.name} is not an audio or video file that FFmpeg reads. Use WAV, MP3 or MP4.",
            param="driven_audio",
        )


@lru_cache(maxsize=1)
def own_demuxers() -> str:
    """FFmpeg's list of the formats that read only their own file."""
    return ",".join(sorted(av.formats_available - _FOREIGN_DEMUXERS))
