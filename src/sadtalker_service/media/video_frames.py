"""The pictures of a video, one after the other, each with its time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from sadtalker_service.domain import Uint8Image
from sadtalker_service.errors import UnreadableVideo
from sadtalker_service.media.pixel_limit import check_pixels
from sadtalker_service.media.sound_file import own_demuxers


def read_footage(path: Path, *, max_seconds: float, max_pixels: int) -> Iterator[tuple[float, Uint8Image]]:
    """(seconds since the first picture, uint8 (H, W, 3) RGB upright) of the first `max_seconds` of a video.

    Pictures that do not decode, or have another size than the first, are left out. The times are those of the
    file: they need not be even. One picture is in memory at a time; the file stays open until all are read or
    the iterator is closed.

    Raises:
        UnreadableVideo: missing, no video, or none of its pictures decodes.
        ImageTooLarge: more pixels in a picture than allowed.
    """
    first: float | None = None
    size: tuple[int, int] | None = None
    for frame in _decoded(path):
        if frame.time is None:
            continue
        first = frame.time if first is None else first
        if frame.time - first > max_seconds:
            return
        if size is None:
            size = (frame.width, frame.height)
            check_pixels(size, max_pixels)
        if (frame.width, frame.height) == size:
            yield frame.time - first, upright_pixels(frame)
    if first is None:
        raise UnreadableVideo(f"{path.name} has no picture that can be decoded; MP4 and WebM are good.")


def upright_pixels(frame: av.VideoFrame) -> Uint8Image:
    """uint8 (H, W, 3) RGB of a frame, turned as the camera was held."""
    quarter_turns = round(frame.rotation / 90) % 4  # counter-clockwise
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarter_turns))


def _decoded(path: Path) -> Iterator[av.VideoFrame]:
    """Frames in order; packets that do not decode are left out."""
    with open_video(path) as container:
        if not container.streams.video:
            raise UnreadableVideo(f"{path.name} has no pictures in it; MP4 and WebM are good.")
        packets = container.demux(container.streams.video[0])
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                continue
            yield from frames


def open_video(path: Path) -> Any:
    """PyAV's container of a file, to be used as a block. Raises `UnreadableVideo`."""
    options = {"format_whitelist": own_demuxers(), "protocol_whitelist": "file"}
    try:
        # as in `media.audio`: names such as "concat:a|b" must not be taken for an address
        return av.open(f"file:{path}", mode="r", options=options, metadata_errors="ignore")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UnreadableVideo(f"{path.name} is no video that FFmpeg reads; MP4 and WebM are good.") from error
