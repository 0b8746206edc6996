"""Encode frames and sound to fragmented mp4 the moment they arrive.

The delay is one frame: x264 holds none back (`zerolatency`), and FFmpeg completes the fragment of a frame
when it gets the next one. AAC frames at 48 kHz are 21 ms long; at 24 kHz they would be 43 ms. The edit list
that `Pieces` writes skips AAC's priming samples, without which the sound would be 21 ms late.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

import av
import numpy as np
from av.packet import Packet
from av.stream import Stream
from numpy.typing import NDArray

from sadtalker_service.domain import Quality, Uint8Image
from sadtalker_service.media.boxes import Collected, Pieces
from sadtalker_service.media.colour import rgb_to_yuv420
from sadtalker_service.media.encoder import NO_TAGS
from sadtalker_service.media.low_pass import low_pass

SOUND_RATE = 48_000
"""Sample rate of the sound in the video, Hz: twice that of the sound that comes in."""

_PRIMING = 1024
"""Samples before time 0, one AAC frame."""
_SECONDS_PER_KEYFRAME = 2
"""A player that jumps forward decodes from the last key frame."""
_BIT_RATE = 64_000
_LIMITED_RANGE, _BT709 = 1, 1
_PARAMS = "chromaloc=1:subme=1:partitions=i8x8,i4x4:weightp=0"
_EFFORTS: Mapping[Quality, tuple[str, int]] = MappingProxyType(
    {"low": ("superfast", 27), "medium": ("veryfast", 23), "high": ("veryfast", 18)}
)
"""Preset and constant rate factor of x264."""
_LAYOUT: Mapping[str, str] = MappingProxyType(
    {
        # empty_moov: the description goes out before the first packet is known.
        # default_base_moof: positions count from their own fragment, as Media Source Extensions demand.
        # skip_trailer: keeps no index, so memory does not grow.
        "movflags": "+empty_moov+default_base_moof+skip_trailer",
    }
)


class LiveEncoder:
    """One stream, from its first frame. Use it in one thread at a time."""

    def __init__(
        self,
        size: tuple[int, int],
        fps: int,
        quality: Quality = "medium",
        tags: Mapping[str, str] = NO_TAGS,
    ) -> None:
        """`size`: (width, height), both even. The first piece has `tags` in its metadata."""
        self._fps = fps
        self._frames = self._samples = 0
        self._made = Collected()
        self._container = av.open(
            Pieces(self._made, (Fraction(0), Fraction(_PRIMING, SOUND_RATE))),
            "w",
            format="mp4",
            # shorter than a frame: each picture gets a fragment of its own. With the length of a frame it
            # would wait for one more; `frag_every_frame` writes no duration, so that it is shown late.
            container_options={**_LAYOUT, "frag_duration": str(round(0.5e6 / fps))},
        )
        self._container.metadata.update(tags)
        width, height = size
        self._video = self._container.add_stream("libx264", rate=fps)
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        context = self._video.codec_context
        context.time_base = Fraction(1, fps)
        context.gop_size = _SECONDS_PER_KEYFRAME * fps
        context.thread_count = 1
        context.color_range = _LIMITED_RANGE
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        preset, crf = _EFFORTS[quality]
        context.options = {
            "preset": preset,
            "tune": "zerolatency",
            "crf": str(crf),
            "x264-params": _PARAMS,
        }
        self._audio = self._container.add_stream("aac", rate=SOUND_RATE)
        self._audio.codec_context.layout = "mono"
        self._audio.codec_context.bit_rate = _BIT_RATE
        self._audio.codec_context.options = {"aac_coder": "fast"}
        self._doubler = _Doubler()
        self._picture = av.VideoFrame(width, height, "yuv420p")
        self._planes = [
            np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            for plane in self._picture.planes
        ]
        self._container.start_encoding()
        self.initialisation = b"".join(self._made.taken())
        """The first piece, which describes the tracks."""
        self.media_type = _media_type(self.initialisation)
        """For `MediaSource`: `video/mp4; codecs="avc1.64001e, mp4a.40.2"`."""

    def encode(self, picture: Uint8Image, sound: NDArray[np.float32]) -> bytes:
        """The fragments that are complete with the next frame; often that of the frame before.

        `picture`: uint8 (height, width, 3) RGB. `sound`: float32 (n,) mono at half of `SOUND_RATE`, the
        samples of this frame, within -1..1.
        """
        luma, blue, red = self._planes
        rgb_to_yuv420(np.ascontiguousarray(picture), luma, blue, red, 0, 0)
        self._picture.pts, self._picture.time_base = self._frames, Fraction(1, self._fps)
        self._frames += 1
        self._container.mux(self._video.encode(self._picture))
        samples = self._doubler.double(sound)
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], "fltp", "mono")
        frame.sample_rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
        frame.pts, self._samples = self._samples, self._samples + len(samples)
        packets: list[Packet[Stream]] = self._audio.encode(frame)
        for packet in packets:
            # positions are counted from the first priming sample, which the edit list skips
            packet.pts, packet.dts = (packet.pts or 0) + _PRIMING, (packet.dts or 0) + _PRIMING
        self._container.mux(packets)
        return b"".join(self._made.taken())

    def close(self) -> bytes:
        """End the stream. The last fragment."""
        self._container.close()
        return b"".join(self._made.taken())


class _Doubler:
    """Doubles the sample rate, piece by piece; the sound is 0.3 ms late."""

    def __init__(self) -> None:
        self._taps = np.asarray(2.0 * low_pass(31, 0.5, beta=5.0), np.float32)
        self._before = np.zeros(len(self._taps) - 1, np.float32)

    def double(self, sound: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (2 n,)."""
        spread = np.zeros(len(self._before) + 2 * len(sound), np.float32)
        spread[: len(self._before)] = self._before
        spread[len(self._before) :: 2] = sound
        self._before = spread[-len(self._before) :].copy()
        return np.clip(np.convolve(spread, self._taps, "valid"), -1.0, 1.0)


def _media_type(initialisation: bytes) -> str:
    at = initialisation.index(b"avcC")
    # RFC 6381: profile, constraints and level follow the version in the decoder configuration
    return f'video/mp4; codecs="avc1.{initialisation[at + 5 : at + 8].hex()}, mp4a.40.2"'
