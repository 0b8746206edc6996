"""Frames of a video that is used as source image, decoded in a child process.

The uploader chooses the decoder, among the hundreds that FFmpeg has. If it crashes on damaged data, only this
child ends, and not the process that needs the frames. At most `MOST_FRAMES` frames are returned, and the
number of decoded frames is bounded, however long the video is.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import av
import numpy as np

from sadtalker_service.domain import Uint8Image
from sadtalker_service.errors import ImageTooLarge, InvalidInput, UnreadableImage, UnreadableVideo
from sadtalker_service.media.animation import MOST_DECODED, MOST_FRAMES, Frame, frames_within, spread
from sadtalker_service.media.pixel_limit import check_pixels
from sadtalker_service.media.video_frames import open_video, upright_pixels

TIMEOUT = 25
"""Whole seconds, after which the child ends itself and the frames so far are used. Must be less than the
timeout of an inspection."""

PIXEL_BUDGET = 1_200_000_000
"""Largest number of pixels to decode, about three seconds of work: 580 frames of 1080p, fewer if larger."""

UNKNOWN_RATE = 25.0
"""Frames per second if the file does not say."""

UNKNOWN_STEP = 10
"""Every tenth frame is examined if the video does not give its length."""

VIDEO_ADVICE = "Cut the video shorter, or send one frame of it."
"""Advice for a video with too many bytes."""

_ERRORS = {error.code: error for error in (ImageTooLarge, UnreadableImage)}
_UNREADABLE = "The video has no frame that can be decoded. Use MP4, WebM or MOV, or send a photo."


def is_video(head: bytes) -> bool:
    """Whether the first bytes of a file that is not an image are those of MP4, MOV, WebM or Matroska."""
    return head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"} or head[:4] == b"\x1aE\xdf\xa3"


def video_media_type(head: bytes) -> str:
    """Media type of a file for which `is_video` holds."""
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    return "video/mp4" if head[4:8] == b"ftyp" and head[8:12] != b"qt  " else "video/quicktime"


def clip_frames(path: Path, *, max_pixels: int) -> Generator[Frame]:
    """Frames of the video in `path`, decoded in a child process, one in memory at a time.

    Raises UnreadableImage if there is none, and ImageTooLarge.
    """
    command = (sys.executable, "-m", __name__, str(path), str(max_pixels))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:  # noqa: S603  this package's own module
        try:
            yield from _received(child.stdout)
        finally:
            child.kill()


def decode_clip(path: Path, *, max_pixels: int) -> Generator[Frame]:
    """Like `clip_frames`, but in this process."""
    try:
        with open_video(path) as container:
            if not container.streams.video:
                raise UnreadableImage(_UNREADABLE)
            yield from _sampled(container, max_pixels)
    except UnreadableVideo as error:
        raise UnreadableImage(_UNREADABLE) from error


def _received(stream: IO[bytes] | None) -> Iterator[Frame]:
    if stream is None:
        raise ValueError("the process was started without pipes")
    count = 0
    while line := stream.readline():
        header: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
        if "error" in header:
            raise _ERRORS[header["error"]](header["message"])
        pixels = stream.read(header["size"]) if header else b""
        if not header or len(pixels) < header["size"]:
            break  # it died in the middle of a frame
        picture = np.frombuffer(pixels, np.uint8).reshape(header["height"], header["width"], 3)
        yield Frame(picture, header["number"], header["seconds"])
        count += 1
    if not count:
        raise UnreadableImage(_UNREADABLE)


def _sampled(container: Any, max_pixels: int) -> Iterator[Frame]:
    stream = container.streams.video[0]
    total = _total(container, stream)
    size: tuple[int, int] | None = None
    taken = 0
    for number, frame in _selected_frames(container, stream, total):
        if size is None:
            size = (frame.width, frame.height)
            check_pixels(size, max_pixels)
        if (frame.width, frame.height) != size:
            continue
        pixels = _pixels(frame)
        if pixels is None:
            continue
        yield Frame(pixels, number + 1, None if frame.time is None else max(0.0, frame.time))
        taken += 1
        if taken >= MOST_FRAMES:
            return
    if not taken:
        raise UnreadableImage(_UNREADABLE)


def _selected_frames(container: Any, stream: Any, total: int | None) -> Iterator[tuple[int, Any]]:
    """(number from 0, frame) of the frames to examine.

    Seeks from one to the next if there are more than may be decoded.
    """
    context = stream.codec_context
    limit = frames_within((context.width, context.height), MOST_DECODED, PIXEL_BUDGET)
    if total is not None and total > limit:
        yield from _seek_frames(container, stream, spread(total, MOST_FRAMES), max(1, limit // MOST_FRAMES))
        return
    wanted = None if total is None else set(spread(total, MOST_FRAMES))
    for number, frame in enumerate(_decoded(container, stream)):
        if number >= limit:
            return
        if number in wanted if wanted is not None else number % UNKNOWN_STEP == 0:
            yield number, frame


def _seek_frames(
    container: Any, stream: Any, numbers: Sequence[int], at_most: int
) -> Iterator[tuple[int, Any]]:
    """The frames with these numbers, or the nearest reachable ones.

    Each is at most `at_most` decoded frames after the previous key frame.
    """
    rate = float(stream.average_rate or UNKNOWN_RATE)
    seen: set[int | None] = set()
    for number in numbers:
        try:
            container.seek(int(number / rate * av.time_base))
        except (av.error.FFmpegError, OSError):
            continue
        nearest = None
        for frame in islice(_decoded(container, stream), at_most):
            nearest = frame
            if (frame.time or 0.0) * rate >= number - 0.5:
                break
        if nearest is not None and nearest.pts not in seen:
            seen.add(nearest.pts)
            yield round((nearest.time or 0.0) * rate), nearest


def _total(container: Any, stream: Any) -> int | None:
    """Number of frames, as far as the file says."""
    if stream.frames:
        return int(stream.frames)
    if not (container.duration and stream.average_rate):
        return None
    seconds = float(container.duration) / av.time_base
    return max(1, round(seconds * float(stream.average_rate)))


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Frames in order. Packets that do not decode are skipped."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            frames = [] if packet is None else packet.decode()
        except av.error.EOFError:
            return
        except (av.error.FFmpegError, ValueError):
            continue
        if packet is None:
            return
        yield from frames


def _pixels(frame: Any) -> Uint8Image | None:
    try:
        return upright_pixels(frame)
    except (av.error.FFmpegError, ValueError):
        return None


def main() -> None:
    """Run the child: write a line of JSON and the pixels of each frame to standard output, or an error."""
    signal.alarm(TIMEOUT)  # not handled, so it ends the process even inside C code
    out = sys.stdout.buffer
    try:
        for frame in decode_clip(Path(sys.argv[1]), max_pixels=int(sys.argv[2])):
            height, width = frame.pixels.shape[:2]
            facts = {"width": width, "height": height, "number": frame.number, "seconds": frame.seconds}
            out.write(json.dumps(facts | {"size": frame.pixels.nbytes}).encode() + b"\n")
            out.write(frame.pixels.tobytes())
            out.flush()
    except InvalidInput as error:
        out.write(json.dumps({"error": error.code, "message": error.message}).encode() + b"\n")


if __name__ == "__main__":
    main()
