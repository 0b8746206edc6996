"""Fragmented mp4: a video that plays while it is still being made, by `<video>` and Media Source Extensions.

It comes in pieces (ISO/IEC 14496-12): an initialisation segment, which describes the tracks, then fragments
of a fifth of a second. The packets are those of the file: nothing is encoded twice, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
import structlog
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from sadtalker_service.media.boxes import Pieces, Writable

log = structlog.get_logger(__name__)

FRAGMENT_SECONDS = 0.2
"""Short enough to begin soon and to follow closely, long enough for the half kilobyte that each one adds."""

_LAYOUT: Mapping[str, str] = MappingProxyType(
    {
        # empty_moov: the description goes out before the first packet is known.
        # default_base_moof: positions count from their own fragment, as Media Source Extensions demand.
        "movflags": "+empty_moov+default_base_moof+skip_trailer",
        "frag_duration": str(round(1e6 * FRAGMENT_SECONDS)),
    }
)


class Fragmenter:
    """Packets of H.264 and AAC become the pieces of a fragmented mp4.

    Both tracks begin at 0 of the presentation, as in the file. The target gets each piece in one call, the
    initialisation segment at once. Raises `OSError` as the target does, from then on it gets no more.
    """

    def __init__(
        self,
        target: Writable,
        video: VideoStream,
        audio: AudioStream | None,
        *,
        video_delay: Fraction,
        audio_delay: Fraction = Fraction(0),
    ) -> None:
        """`video` and `audio` are the tracks that packets will come from. A delay is how far, in seconds, the
        track's first decoding time lies before 0."""
        self._pieces = Pieces(target, [video_delay, audio_delay][: 1 if audio is None else 2])
        self._container = av.open(self._pieces, "w", format="mp4", container_options=dict(_LAYOUT))
        self._tracks: dict[int, tuple[Stream, Fraction]] = {}
        self._tracks[video.index] = (self._container.add_stream_from_template(video), video_delay)
        if audio is not None:
            self._tracks[audio.index] = (self._container.add_stream_from_template(audio), audio_delay)
        self._container.start_encoding()
        self._pieces.check()

    def mux(self, packet: Packet[Stream]) -> None:
        """Add a packet, which stays as it is."""
        if packet.pts is None or packet.dts is None:  # empty, what a demuxer puts out last
            return
        track, delay = self._tracks[packet.stream.index]
        shift = round(delay / packet.time_base)
        copy: Packet[Stream] = Packet(bytes(packet))
        copy.time_base = packet.time_base
        copy.pts, copy.dts, copy.duration = packet.pts + shift, packet.dts + shift, packet.duration
        copy.is_keyframe = packet.is_keyframe
        copy.stream = track
        self._container.mux(copy)
        self._pieces.check()

    def close(self) -> None:
        """Send the last fragment."""
        self._container.close()
        self._pieces.check()

    def abandon(self) -> None:
        """Send nothing more."""
        self._pieces.stop()


class LiveFragments:
    """Fragments for whoever watches already. What goes wrong with them ends them, never the video."""

    def __init__(self, make: Callable[[], Fragmenter]) -> None:
        """`make` may fail as well."""
        self._fragmenter: Fragmenter | None = None
        with self._giving_up():
            self._fragmenter = make()

    def mux(self, packet: Packet[Stream]) -> None:
        """Add a packet."""
        with self._giving_up():
            if self._fragmenter:
                self._fragmenter.mux(packet)

    def close(self) -> None:
        """Send the last fragment."""
        with self._giving_up():
            if self._fragmenter:
                self._fragmenter.close()

    def abandon(self) -> None:
        """Send nothing more."""
        if self._fragmenter:
            self._fragmenter.abandon()
            self._fragmenter = None

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        try:
            yield
        except (OSError, av.FFmpegError) as error:
            self.abandon()
            log.warning("stream_dropped", reason=str(error))


def refragment(path: Path) -> Iterator[bytes]:
    """The pieces of a finished mp4, without encoding anything again: the initialisation segment, then
    fragments. Memory does not grow with the length.

    Raises `OSError`, `av.FFmpegError` where the file cannot be read.
    """
    ready = _Collected()
    with av.open(f"file:{path}") as source:
        video, audio = source.streams.video[0], next(iter(source.streams.audio), None)
        fragmenter = Fragmenter(
            ready,
            video,
            audio,
            video_delay=_delay(video),
            audio_delay=_delay(audio) if audio else Fraction(0),
        )
        for packet in source.demux([video, *([audio] if audio else [])]):
            fragmenter.mux(packet)
            yield from ready.taken()
        fragmenter.close()
        yield from ready.taken()


def _delay(stream: Stream) -> Fraction:
    """How far, in seconds, the first decoding time lies before 0."""
    return max(Fraction(0), -stream.index_entries[0].timestamp * Fraction(stream.time_base or 0))


class _Collected:
    """Pieces that wait to be taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._pieces.append(data)
        return len(data)

    def taken(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces
