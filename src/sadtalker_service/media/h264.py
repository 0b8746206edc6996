"""The encoders of H.264: x264, which runs anywhere, and NVENC, a part of many NVIDIA GPUs.

A GPU may have none (A100, H100 and H200 do not), its driver may be missing, and it may refuse one more video.
So NVENC is tried before it is used (`h264_trial`), and a video for which it cannot be opened is encoded
by x264 (`media.video`). Nothing is loaded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from sadtalker_service.domain import Quality

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext


@dataclass(frozen=True)
class VideoEncoder:
    """An encoder of H.264 in FFmpeg, and how to use it."""

    name: Literal["libx264", "h264_nvenc"]
    """FFmpeg's name of it."""
    options: Mapping[Quality, Mapping[str, str]]
    reordered: int
    """Frames by which decoding starts before 0, because of B-frames."""

    def set_up(self, context: VideoCodecContext, quality: Quality) -> None:
        """Options of a context of this encoder."""
        context.options = dict(self.options[quality])
        if not self.reordered:
            context.max_b_frames = 0
            context.bit_rate = 0  # the quality alone decides


# Measured on talking heads of 512x512, one core: milliseconds of CPU per frame / kbit/s / dB of PSNR.
#   low    2.1 / 350 / 40.8  (plain `ultrafast` 1.1 / 809 / 39.9)
#   medium 3.3 / 609 / 43.7  (plain `veryfast` 6.0 / 590 / 43.6)
#   high   4.1 / 916 / 45.5  (plain `veryfast` 6.3 / 884 / 45.5, `faster` 10.3 / 929 / 46.4; all at crf 18)
# On faces that hardly move, finer motion search and smaller partitions gain little, and look-ahead gains
# much. Weighted prediction only helps with fades.
# chromaloc=1: chroma is sited in the middle of its 2x2 square, as `colour.rgb_to_yuv420` computes it.
_X264: Mapping[Quality, tuple[str, int, str]] = {
    "low": ("ultrafast", 26, "cabac=1:mbtree=1:rc-lookahead=10:bframes=3:no-deblock=0:deblock=0,0"),
    "medium": ("veryfast", 21, "subme=1:partitions=i8x8,i4x4:weightp=0"),
    "high": ("veryfast", 17, "subme=1:partitions=i8x8,i4x4:weightp=0"),
}

X264 = VideoEncoder(
    "libx264",
    MappingProxyType(
        {
            quality: {"preset": preset, "crf": str(crf), "x264-params": f"chromaloc=1:{params}"}
            for quality, (preset, crf, params) in _X264.items()
        }
    ),
    reordered=2,  # x264 uses B-frames, one of them as a reference for the others
)


def nvenc(gpu: int) -> VideoEncoder:
    """NVENC of a GPU. Its quality levels follow the crf of x264; they have not been measured."""
    return VideoEncoder(
        "h264_nvenc",
        MappingProxyType(
            {
                quality: {
                    "gpu": str(gpu),
                    "preset": "p4",
                    "profile": "high",
                    "rc": "vbr",
                    "cq": str(crf),
                    "delay": "2",  # frames that it may keep; all it can would delay the stream
                }
                for quality, (_, crf, _) in _X264.items()
            }
        ),
        reordered=0,
    )
