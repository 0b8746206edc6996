"""Find out whether an encoder of H.264 works on this machine."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import structlog
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from sadtalker_service.media.h264 import X264, VideoEncoder

log = structlog.get_logger(__name__)

_SIDE, _FRAMES = 256, 8
_LARGEST_ERROR = 12.0
"""Grey levels of mean error, above which an encoder is broken. Every quality stays far below."""


def usable_encoder(wanted: VideoEncoder) -> VideoEncoder:
    """`wanted` if it works here, else x264. Tries it with a few frames, in a fraction of a second."""
    obstacle = _obstacle(wanted)
    if obstacle is None:
        log.info("video_encoder_chosen", encoder=wanted.name)
        return wanted
    log.info("video_encoder_unusable", encoder=wanted.name, reason=obstacle, used=X264.name)
    return X264


def _obstacle(encoder: VideoEncoder) -> str | None:
    """Why an encoder does not work here, or None if it does: a few frames are encoded and decoded again."""
    frames = _trial_frames()
    try:
        shown = _decoded(*_encoded(encoder, frames))
    except (OSError, av.FFmpegError, ValueError) as error:  # ValueError: FFmpeg was built without it
        return f"{error}"
    if len(shown) != len(frames):
        return f"{len(shown)} of {len(frames)} frames came back"
    difference = max(
        float(np.abs(a.astype(np.float32) - b).mean()) for a, b in zip(shown, frames, strict=True)
    )
    return None if difference < _LARGEST_ERROR else f"its pictures differ by {difference:.0f} grey levels"


def _trial_frames() -> list[NDArray[np.uint8]]:
    """Luma of a pattern that moves, and grey chroma: (384, 256) uint8, as yuv420p."""
    side = _SIDE
    ramp = np.add.outer(np.arange(side), np.arange(side)) / 4 + 60
    frames = []
    for number in range(_FRAMES):
        picture = np.full((side * 3 // 2, side), 128, np.uint8)
        picture[:side] = np.roll(ramp, 4 * number, axis=1)
        frames.append(picture)
    return frames


def _encoded(encoder: VideoEncoder, frames: list[NDArray[np.uint8]]) -> tuple[bytes, list[bytes]]:
    """The description of the stream, and its packets."""
    context = VideoCodecContext.create(encoder.name, "w")
    context.width = context.height = _SIDE
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, 25)
    context.framerate = Fraction(25)
    encoder.set_up(context, "medium")
    packets: list[bytes] = []
    for number, picture in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = number, context.time_base
        packets += map(bytes, context.encode(frame))
    packets += map(bytes, context.encode(None))
    return context.extradata or b"", packets


def _decoded(description: bytes, packets: list[bytes]) -> list[NDArray[np.uint8]]:
    context = VideoCodecContext.create("h264", "r")
    if description:
        context.extradata = description
    shown = [frame for data in packets for frame in context.decode(av.Packet(data))]
    shown += context.decode(None)
    return [np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8) for frame in shown]
