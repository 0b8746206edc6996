"""Read the frames of a video one by one, each with its time."""

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
    """(seconds since the first frame, uint8 (H, W, 3) RGB upright) of the first `max_seconds` of a video.

    Frames that do not decode, or that differ in size from the first, are skipped. The times are those of the
    file and may be uneven. One frame is in memory at a time. The file stays open until all frames are read or
    the iterator is closed.

    Raises:
        UnreadableVideo: the file is missing, is not a video, or none of its frames decodes.
        ImageTooLarge: a frame has more pixels than allowed.
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
        raise UnreadableVideo(f"{path.name} has no frame that can be decoded. Use MP4 or WebM.")


def upright_pixels(frame: av.VideoFrame) -> Uint8Image:
    """uint8 (H, W, 3) RGB of a frame, turned upright by the rotation in its metadata."""
    quarter_turns = round(frame.rotation / 90) % 4  # counterclockwise
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarter_turns))


def _decoded(path: Path) -> Iterator[av.VideoFrame]:
    """Frames in order. Packets that do not decode are skipped."""
    with open_video(path) as container:
        if not container.streams.video:
            raise UnreadableVideo(f"{path.name} has no frames. Use MP4 or WebM.")
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
    """Open a file as PyAV's container, a context manager. Raises `UnreadableVideo`."""
    options = {"format_whitelist": own_demuxers(), "protocol_whitelist": "file"}
    try:
        # As in `media.audio`, names such as "concat:a|b" must not be treated as addresses.
        return av.open(f"file:{path}", mode="r", options=options, metadata_errors="ignore")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UnreadableVideo(f"{path.name} is not a video that FFmpeg reads. Use MP4 or WebM.") from error
