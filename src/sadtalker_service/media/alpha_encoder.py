"""Encode transparent video: VP9 and Opus in WebM for web pages, ProRes 4444 and PCM in mov for editing."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

import av
from av.audio.stream import AudioStream
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from sadtalker_service.domain import Quality
from sadtalker_service.media.encoder import (
    LAYOUTS,
    SECONDS_PER_KEYFRAME,
    Mp4Encoder,
    encoder_threads,
    tag_colours,
)
from sadtalker_service.media.ring_frame import PixelFormat
from sadtalker_service.media.soundtrack import Soundtrack

VP9_CRF: Mapping[Quality, int] = MappingProxyType({"low": 36, "medium": 28, "high": 20})
"""Constant rate factor of VP9, 0 .. 63 worst."""
VP9_SPEED = "8"
"""Of libvpx's real-time mode: the fastest that is made for pictures of any size."""
OPUS_RATE = 48_000
_PRORES_4444 = "4"
"""Profile of FFmpeg's encoder that has alpha."""


class WebmEncoder(Mp4Encoder):
    """Encodes frames (yuva420p) and audio as WebM. Otherwise like `Mp4Encoder`, without a live stream."""

    container = "webm"
    pixel_format: PixelFormat = "yuva420p"

    def _add_video(self, width: int, height: int, quality: Quality) -> VideoStream:
        stream = self._container.add_stream("libvpx-vp9", rate=self._fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuva420p"
        context = stream.codec_context
        context.time_base = Fraction(1, self._fps)
        context.gop_size = SECONDS_PER_KEYFRAME * self._fps
        context.thread_count = encoder_threads()
        tag_colours(context)
        context.bit_rate = 0  # the constant rate factor alone decides
        context.options = {
            "crf": str(VP9_CRF[quality]),
            "deadline": "realtime",
            "cpu-used": VP9_SPEED,
            "row-mt": "1",
            "auto-alt-ref": "0",  # alternate reference frames and alpha exclude each other
        }
        return stream

    def _add_audio(self, track: Soundtrack) -> AudioStream:
        # PyAV converts the frames to this rate, because Opus does not know every other.
        stream = self._container.add_stream("libopus", rate=OPUS_RATE)
        stream.codec_context.layout = LAYOUTS[track.channels]
        stream.codec_context.bit_rate = 64_000 * track.channels
        return stream


class MovEncoder(Mp4Encoder):
    """Encodes frames (rgba) and audio as mov. Otherwise like `Mp4Encoder`, without a live stream."""

    container = "mov"
    pixel_format: PixelFormat = "rgba"

    def encode(self, frame: av.VideoFrame) -> None:
        """Encode the next frame (rgba) and its audio. `frame` may be reused afterwards."""
        with self.watch("encode"):
            converted = frame.reformat(
                format="yuva444p10le",
                src_colorspace=Colorspace.ITU709,
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=1,
            )
        super().encode(converted)

    def _add_video(self, width: int, height: int, quality: Quality) -> VideoStream:
        del quality  # ProRes is for editing: it has one
        stream = self._container.add_stream("prores_ks", rate=self._fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuva444p10le"
        context = stream.codec_context
        context.time_base = Fraction(1, self._fps)
        context.thread_count = encoder_threads()
        tag_colours(context)
        context.options = {"profile": _PRORES_4444, "alpha_bits": "16", "vendor": "apl0"}
        return stream

    def _add_audio(self, track: Soundtrack) -> AudioStream:
        stream = self._container.add_stream("pcm_s16le", rate=track.rate)
        stream.codec_context.layout = LAYOUTS[track.channels]
        return stream
