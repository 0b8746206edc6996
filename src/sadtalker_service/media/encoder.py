"""Encode H.264 and AAC in mp4 to any writable target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from types import MappingProxyType

import av
import numpy as np
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from sadtalker_service.domain import Quality
from sadtalker_service.media.boxes import Writable
from sadtalker_service.media.fragments import Fragmenter, LiveFragments
from sadtalker_service.media.ring_frame import PixelFormat
from sadtalker_service.media.soundtrack import Soundtrack
from sadtalker_service.media.stopwatch import Stopwatch

FASTSTART: Mapping[str, str] = MappingProxyType({"movflags": "+faststart"})
"""mp4 with its index before the media, so that playback can start early. Needs a named file."""

NO_TAGS: Mapping[str, str] = MappingProxyType({})

_BT709 = 1
"""Code of BT.709 for primaries, transfer and matrix in ITU-T H.273."""
_LIMITED_RANGE = 1
"""FFmpeg's `AVCOL_RANGE_MPEG`."""
_AAC_BITS_PER_SAMPLE = 4
_AAC_MOST_BITS = 64_000
"""Largest bit rate per channel."""
SECONDS_PER_KEYFRAME = 4
_REORDERED_FRAMES = 2
"""x264 uses B-frames, one of them as a reference for the others. Decoding starts this many frames before
0."""
_AAC_PRIMING_SAMPLES = 1024
"""One AAC frame. FFmpeg's encoder starts this many samples before 0."""


@dataclass(frozen=True)
class Effort:
    """Effort of x264."""

    preset: str
    crf: int
    """Constant rate factor, 0 lossless .. 51 worst. Adding 6 halves the bit rate."""
    params: str = ""
    """Options of x264, `name=value:name=value`."""


# Measured on talking heads of 512x512, one core: milliseconds of CPU per frame / kbit/s / dB of PSNR.
#   low    2.1 / 350 / 40.8  (plain `ultrafast` 1.1 / 809 / 39.9)
#   medium 3.3 / 609 / 43.7  (plain `veryfast` 6.0 / 590 / 43.6)
#   high   4.1 / 916 / 45.5  (plain `veryfast` 6.3 / 884 / 45.5, `faster` 10.3 / 929 / 46.4; all at crf 18)
# On faces that hardly move, finer motion search and smaller partitions gain little, and look-ahead gains
# much. Weighted prediction only helps with fades.
EFFORTS: Mapping[Quality, Effort] = MappingProxyType(
    {
        "low": Effort("ultrafast", 26, "cabac=1:mbtree=1:rc-lookahead=10:bframes=3:no-deblock=0:deblock=0,0"),
        "medium": Effort("veryfast", 21, "subme=1:partitions=i8x8,i4x4:weightp=0"),
        "high": Effort("veryfast", 17, "subme=1:partitions=i8x8,i4x4:weightp=0"),
    }
)


class Mp4Encoder:
    """Encodes frames and audio as they arrive and writes an mp4 to `target`. Use it in one thread at a time.

    Video and audio both start at time 0 of the presentation. An edit list cuts the encoder's priming samples.
    Raises `OSError` or `av.FFmpegError` if `target` cannot be written.
    """

    container = "mp4"
    """FFmpeg's name of the format."""
    pixel_format: PixelFormat = "yuv420p"
    """Of the frames that it takes."""

    def __init__(
        self,
        target: str | Writable,
        *,
        width: int,
        height: int,
        fps: int,
        quality: Quality,
        soundtrack: Soundtrack | None = None,
        layout: Mapping[str, str] = FASTSTART,
        stream: Writable | None = None,
        tags: Mapping[str, str] = NO_TAGS,
    ) -> None:
        """`width` and `height` are even. `layout` holds options of FFmpeg's mp4 muxer.

        `stream` receives the same video as fragmented mp4: the initialisation segment now, and each fragment
        as soon as it is encoded. If it raises `OSError`, it receives no more, and encoding continues. Both
        have `tags` in their metadata.
        """
        self.watch = Stopwatch()
        self._fps = fps
        self._frames = 0
        self._soundtrack = soundtrack
        self._container = av.open(target, "w", format=self.container, container_options=dict(layout))
        self._container.metadata.update(tags)
        self._tags = tags
        self._video = self._add_video(width, height, quality)
        self._audio = self._add_audio(soundtrack) if soundtrack else None
        self._live = LiveFragments(partial(self._fragmenter, stream)) if stream else None

    def encode(self, frame: av.VideoFrame) -> None:
        """Encode the next frame (yuv420p) and its audio. `frame` may be reused afterwards."""
        frame.pts = self._frames
        frame.time_base = Fraction(1, self._fps)
        self._frames += 1
        with self.watch("encode"):
            packets = self._video.encode(frame)
        self._mux(packets)
        self._encode_sound_until(Fraction(self._frames, self._fps))

    def finish(self) -> None:
        """Encode the remaining frames and audio and complete the file."""
        with self.watch("encode"):
            packets = self._video.encode(None)
        self._mux(packets)
        if self._soundtrack and self._audio:
            length = Fraction(self._frames, self._fps)
            self._soundtrack.end(length)
            self._encode_sound_until(length)
            with self.watch("sound"):
                packets = self._audio.encode(None)
            self._mux(packets)
        with self.watch("mux"):
            if self._live:
                self._live.close()
            self._container.close()

    def abandon(self) -> None:
        """Close the target. The output is useless now, so errors are ignored."""
        if self._live:
            self._live.abandon()
        with suppress(OSError, av.FFmpegError):
            self._container.close()

    def _mux(self, packets: list[Packet[Stream]]) -> None:
        with self.watch("mux"):
            for packet in packets:
                if self._live:
                    self._live.mux(packet)
                self._container.mux(packet)

    def _fragmenter(self, stream: Writable) -> Fragmenter:
        self._container.start_encoding()  # opens the encoders, so the tracks can be described
        return Fragmenter(
            stream,
            self._video,
            self._audio,
            video_delay=Fraction(_REORDERED_FRAMES, self._fps),
            audio_delay=Fraction(_AAC_PRIMING_SAMPLES, self._soundtrack.rate if self._soundtrack else 1),
            tags=self._tags,
        )

    def _encode_sound_until(self, seconds: Fraction) -> None:
        track, audio = self._soundtrack, self._audio
        if track is None or audio is None:
            return
        packets: list[Packet[Stream]] = []
        with self.watch("sound"):
            while len(samples := track.take(audio.codec_context.frame_size or 1024, seconds)):
                start = track.taken - len(samples)
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(samples.T), "fltp", LAYOUTS[track.channels]
                )
                frame.sample_rate = track.rate
                frame.time_base = Fraction(1, track.rate)
                frame.pts = start
                packets += audio.encode(frame)
        self._mux(packets)

    def _add_video(self, width: int, height: int, quality: Quality) -> VideoStream:
        effort = EFFORTS[quality]
        stream = self._container.add_stream("libx264", rate=self._fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, self._fps)
        context.gop_size = SECONDS_PER_KEYFRAME * self._fps
        context.thread_count = encoder_threads()
        tag_colours(context)
        # chromaloc=1: chroma is sited in the middle of its 2x2 square, as `colour.rgb_to_yuv420` computes it.
        params = ":".join(filter(None, ("chromaloc=1", effort.params)))
        context.options = {"preset": effort.preset, "crf": str(effort.crf), "x264-params": params}
        return stream

    def _add_audio(self, track: Soundtrack) -> AudioStream:
        stream = self._container.add_stream("aac", rate=track.rate)
        context = stream.codec_context
        context.layout = LAYOUTS[track.channels]
        context.bit_rate = track.channels * min(_AAC_MOST_BITS, _AAC_BITS_PER_SAMPLE * track.rate)
        # On speech this takes a third of the default coder's time, and is closer to the original at the same
        # bit rate.
        context.options = {"aac_coder": "fast"}
        return stream


def tag_colours(context: VideoCodecContext) -> None:
    """Say that the pictures are as `colour` converts them."""
    context.color_range = _LIMITED_RANGE
    context.colorspace = context.color_primaries = context.color_trc = _BT709


def encoder_threads() -> int:
    """Leave one core to the renderer. More than four threads gain little at these sizes."""
    return max(1, min(4, len(os.sched_getaffinity(0)) - 1))


LAYOUTS = MappingProxyType({1: "mono", 2: "stereo"})
