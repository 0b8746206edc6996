"""The pictures of a video that is given as a source image, decoded in a process of their own.

Whoever uploads a video chooses its decoder, of the hundreds that FFmpeg has: what one of them does on damaged
data costs this child, never the process that wants the pictures. At most `MOST_FRAMES` pictures are handed
over, and a bounded number is decoded, however long the video is.
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
"""Whole seconds, after which the child ends itself and the frames so far count. An inspection has more."""

PIXEL_BUDGET = 1_200_000_000
"""Pixels that may be decoded in all, about three seconds of work: 580 frames of 1080p, fewer of larger."""

UNKNOWN_RATE = 25.0
"""Frames per second where the file does not tell."""

UNKNOWN_STEP = 10
"""Of a video that does not say how long it is, every tenth frame is looked at."""

VIDEO_ADVICE = "Cut the video shorter, or send one frame of it."
"""What to do about a video with too many bytes."""

_ERRORS = {error.code: error for error in (ImageTooLarge, UnreadableImage)}
_UNREADABLE = "The video has no picture that can be decoded. Use MP4, WebM or MOV, or send a photo."


def is_video(head: bytes) -> bool:
    """Whether a file that is no picture begins like an MP4, MOV, WebM or Matroska file."""
    return head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"} or head[:4] == b"\x1aE\xdf\xa3"


def video_media_type(head: bytes) -> str:
    """Media type of a file for which `is_video` holds."""
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    return "video/mp4" if head[4:8] == b"ftyp" and head[8:12] != b"qt  " else "video/quicktime"


def clip_frames(path: Path, *, max_pixels: int) -> Generator[Frame]:
    """Frames of the video in `path`, decoded in a child process, one in memory at a time.

    Raises UnreadableImage where there is none, ImageTooLarge.
    """
    command = (sys.executable, "-m", __name__, str(path), str(max_pixels))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:  # noqa: S603  this package's own module
        try:
            yield from _received(child.stdout)
        finally:
            child.kill()


def decode_clip(path: Path, *, max_pixels: int) -> Generator[Frame]:
    """As `clip_frames`, in this process."""
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
            break  # it died in the midst of a frame
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
    for number, frame in _spread_out(container, stream, total):
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


def _spread_out(container: Any, stream: Any, total: int | None) -> Iterator[tuple[int, Any]]:
    """(number from 0, frame) of the frames to look at. Where there are more than may be decoded, it is jumped
    from one to the next."""
    context = stream.codec_context
    limit = frames_within((context.width, context.height), MOST_DECODED, PIXEL_BUDGET)
    if total is not None and total > limit:
        yield from _jumped_to(container, stream, spread(total, MOST_FRAMES), max(1, limit // MOST_FRAMES))
        return
    wanted = None if total is None else set(spread(total, MOST_FRAMES))
    for number, frame in enumerate(_decoded(container, stream)):
        if number >= limit:
            return
        if number in wanted if wanted is not None else number % UNKNOWN_STEP == 0:
            yield number, frame


def _jumped_to(
    container: Any, stream: Any, numbers: Sequence[int], at_most: int
) -> Iterator[tuple[int, Any]]:
    """The frames of these numbers, or the nearest that can be reached by decoding `at_most` frames from the
    key frame before."""
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
    """Number of frames, as far as the file tells."""
    if stream.frames:
        return int(stream.frames)
    if not (container.duration and stream.average_rate):
        return None
    seconds = float(container.duration) / av.time_base
    return max(1, round(seconds * float(stream.average_rate)))


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Frames in order; packets that do not decode are left out."""
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
    """In the child: for each frame a line of JSON and its pixels on standard output; or an error."""
    signal.alarm(TIMEOUT)  # not caught: it ends the process in the midst of any C code
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
