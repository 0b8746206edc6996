"""Encode H.264 and AAC in mp4 to any writable target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
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
from sadtalker_service.media.h264 import X264, VideoEncoder
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
_AAC_PRIMING_SAMPLES = 1024
"""One AAC frame. FFmpeg's encoder starts this many samples before 0."""


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
        encoder: VideoEncoder = X264,
    ) -> None:
        """`width` and `height` are even. `layout` holds options of FFmpeg's mp4 muxer. `encoder` encodes
        H.264.

        `stream` receives the same video as fragmented mp4: the initialisation segment now, and each fragment
        as soon as it is encoded. If it raises `OSError`, it receives no more, and encoding continues. Both
        have `tags` in their metadata.

        Raises `OSError` or `av.FFmpegError` if an encoder other than x264 cannot be opened.
        """
        self.watch = Stopwatch()
        self._fps = fps
        self._frames = 0
        self._soundtrack = soundtrack
        self._container = av.open(target, "w", format=self.container, container_options=dict(layout))
        self._container.metadata.update(tags)
        self._tags = tags
        self._encoder = encoder
        self._video = self._add_video(width, height, quality)
        self._audio = self._add_audio(soundtrack) if soundtrack else None
        if encoder is not X264:
            self._open_encoders()
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

    def _open_encoders(self) -> None:
        try:
            self._container.start_encoding()
        except (OSError, av.FFmpegError):
            with suppress(OSError, av.FFmpegError):
                self._container.close()
            raise

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
            video_delay=Fraction(self._encoder.reordered, self._fps),
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
        stream = self._container.add_stream(self._encoder.name, rate=self._fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, self._fps)
        context.gop_size = SECONDS_PER_KEYFRAME * self._fps
        context.thread_count = encoder_threads()
        tag_colours(context)
        self._encoder.set_up(context, quality)
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
