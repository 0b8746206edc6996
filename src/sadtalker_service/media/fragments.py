"""Fragmented mp4: a video that `<video>` and Media Source Extensions play while it is still being rendered.

It consists of pieces (ISO/IEC 14496-12): an initialisation segment that describes the tracks, then fragments
of a fifth of a second. The packets are those of the file, so nothing is encoded twice and nothing is lost.
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

from sadtalker_service.media.boxes import Collected, Pieces, Writable

log = structlog.get_logger(__name__)

FRAGMENT_SECONDS = 0.2
"""Short enough to start soon with little delay, and long enough to be worth the half kilobyte of overhead."""

_LAYOUT: Mapping[str, str] = MappingProxyType(
    {
        # empty_moov: the description goes out before the first packet is known.
        # default_base_moof: positions count from their own fragment, as Media Source Extensions demand.
        "movflags": "+empty_moov+default_base_moof+skip_trailer",
        "frag_duration": str(round(1e6 * FRAGMENT_SECONDS)),
    }
)


class Fragmenter:
    """Turns packets of H.264 and AAC into the pieces of a fragmented mp4.

    Both tracks start at time 0 of the presentation, as in the file. The target receives each piece in one
    call, and the initialisation segment at once. Raises the `OSError` of the target, which then receives no
    more.
    """

    def __init__(
        self,
        target: Writable,
        video: VideoStream,
        audio: AudioStream | None,
        *,
        video_delay: Fraction,
        audio_delay: Fraction = Fraction(0),
        tags: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`video` and `audio` are the tracks of the packets.

        A delay is how far the first decoding time of the track is before 0, in seconds. `tags` are
        its metadata.
        """
        self._pieces = Pieces(target, [video_delay, audio_delay][: 1 if audio is None else 2])
        self._container = av.open(self._pieces, "w", format="mp4", container_options=dict(_LAYOUT))
        self._container.metadata.update(tags)
        self._tracks: dict[int, tuple[Stream, Fraction]] = {}
        self._tracks[video.index] = (self._container.add_stream_from_template(video), video_delay)
        if audio is not None:
            self._tracks[audio.index] = (self._container.add_stream_from_template(audio), audio_delay)
        self._container.start_encoding()
        self._pieces.check()

    def mux(self, packet: Packet[Stream]) -> None:
        """Add a packet. The packet is not modified."""
        if packet.pts is None or packet.dts is None:  # empty packet, which a demuxer returns last
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
    """Fragments for live viewers. An error ends the fragments, but never the video."""

    def __init__(self, make: Callable[[], Fragmenter]) -> None:
        """Create the fragments with `make`, which may fail as well."""
        self._fragmenter: Fragmenter | None = None
        with self._drop_stream_on_error():
            self._fragmenter = make()

    def mux(self, packet: Packet[Stream]) -> None:
        """Add a packet."""
        with self._drop_stream_on_error():
            if self._fragmenter:
                self._fragmenter.mux(packet)

    def close(self) -> None:
        """Send the last fragment."""
        with self._drop_stream_on_error():
            if self._fragmenter:
                self._fragmenter.close()

    def abandon(self) -> None:
        """Send nothing more."""
        if self._fragmenter:
            self._fragmenter.abandon()
            self._fragmenter = None

    @contextmanager
    def _drop_stream_on_error(self) -> Iterator[None]:
        try:
            yield
        except (OSError, av.FFmpegError) as error:
            self.abandon()
            log.warning("stream_dropped", reason=str(error))


def refragment(path: Path) -> Iterator[bytes]:
    """Pieces of a finished mp4 without encoding it again: the initialisation segment, then fragments.

    Of its metadata the comment remains, which says that it is synthetic. A signature does not.

    Memory does not grow with the length. Raises `OSError` or `av.FFmpegError` if the file cannot be read.
    """
    ready = Collected()
    with av.open(f"file:{path}") as source:
        video, audio = source.streams.video[0], next(iter(source.streams.audio), None)
        fragmenter = Fragmenter(
            ready,
            video,
            audio,
            video_delay=_delay(video),
            audio_delay=_delay(audio) if audio else Fraction(0),
            tags={name: text for name, text in source.metadata.items() if name == "comment"},
        )
        for packet in source.demux([video, *([audio] if audio else [])]):
            fragmenter.mux(packet)
            yield from ready.taken()
        fragmenter.close()
        yield from ready.taken()


def _delay(stream: Stream) -> Fraction:
    """How far the first decoding time is before 0, in seconds."""
    return max(Fraction(0), -stream.index_entries[0].timestamp * Fraction(stream.time_base or 0))
