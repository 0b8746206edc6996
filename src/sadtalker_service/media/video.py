"""Write a rendering, with or without audio, to an mp4 file.

Two threads share the work. The caller's thread renders and converts to Y'CbCr, the other encodes. A ring of
frames circulates between them, so memory does not grow and each can wait for the other. The background is
converted once into every frame of the ring. After that, only the box is converted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import av
import structlog

from sadtalker_service.domain import Quality, Rendering
from sadtalker_service.files import output_error, whole_file
from sadtalker_service.media.alpha_encoder import MovEncoder, WebmEncoder
from sadtalker_service.media.boxes import Writable
from sadtalker_service.media.encoder import FASTSTART, NO_TAGS, Mp4Encoder
from sadtalker_service.media.h264 import X264, VideoEncoder
from sadtalker_service.media.ring_frame import RingFrame
from sadtalker_service.media.soundtrack import Sound, Soundtrack
from sadtalker_service.media.stopwatch import Stopwatch

log = structlog.get_logger(__name__)

RING_FRAMES = 12
"""Largest number of frames between the renderer and the encoder."""


@dataclass(frozen=True)
class VideoFile:
    """A finished video."""

    path: Path
    width: int
    height: int
    fps: int
    frames: int
    size_bytes: int
    seconds: Mapping[str, float]
    """Stage -> seconds.

    In the caller's thread: `render`, `convert`, `wait` (for the encoder to free a frame) and `finish` (from
    the last frame until the file exists). In the encoder's thread: `encode`, `sound`, `mux` and `starve`
    (waiting for frames).
    """


def write_video(
    rendering: Rendering,
    path: Path,
    *,
    sound: Sound | None = None,
    quality: Quality = "medium",
    on_frame: Callable[[int], None] | None = None,
    stream: Writable | None = None,
    tags: Mapping[str, str] = NO_TAGS,
    encoder: VideoEncoder = X264,
) -> VideoFile:
    """Encode `rendering` to `path`, which appears only when it is complete.

    An RGB rendering becomes mp4. An RGBA rendering becomes WebM, or mov if `path` ends so, and has no
    `stream`.

    `sound` is cut or padded to the length of the video. `on_frame` is called in this thread after each batch,
    with the number of frames given to the encoder so far. An exception that it raises ends the work. After
    any error, no thread keeps running and no partial file remains. Raises `OutputError` if the file cannot be
    written.

    `stream` receives the same video and audio as fragmented mp4 during rendering, one whole piece per call.
    The initialisation segment comes first, before anything is rendered, then fragments of a fifth of a
    second. If it raises `OSError` it is dropped, and the file is still written. `tags` become metadata of
    both.

    `encoder` encodes mp4, or x264 if it cannot be opened for this video. The initialisation segment is that
    of the encoder that is used.
    """
    _check(rendering)
    with whole_file(path) as unfinished:
        frames, seconds = _encode(
            rendering, unfinished, path, sound, quality, on_frame, stream, tags, encoder
        )
        size = unfinished.stat().st_size
    height, width = rendering.background.shape[:2]
    return VideoFile(path, width, height, rendering.fps, frames, size, seconds)


def _encode(
    rendering: Rendering,
    unfinished: Path,
    path: Path,
    sound: Sound | None,
    quality: Quality,
    on_frame: Callable[[int], None] | None,
    stream: Writable | None,
    tags: Mapping[str, str],
    wanted: VideoEncoder,
) -> tuple[int, Mapping[str, float]]:
    """Number of frames, and stage -> seconds."""
    track = Soundtrack(sound) if sound else None
    height, width = rendering.background.shape[:2]
    watch = Stopwatch()
    alpha = rendering.background.shape[2] == 4
    kind = (MovEncoder if path.suffix == ".mov" else WebmEncoder) if alpha else Mp4Encoder
    ring = [
        RingFrame(rendering.background, kind.pixel_format)
        for _ in range(min(RING_FRAMES, rendering.frames or RING_FRAMES))
    ]
    open_encoder = partial(
        kind,
        f"file:{unfinished}",
        width=width,
        height=height,
        fps=rendering.fps,
        quality=quality,
        soundtrack=track,
        layout=FASTSTART if kind.container == "mp4" else {},
        stream=None if alpha else stream,
        tags=tags,
    )
    encoder = open_encoder() if alpha else _opened(open_encoder, wanted)
    with closing(_EncoderThread(encoder, ring, path)) as thread:
        thread.start()
        frames = _feed(thread, rendering, watch, on_frame)
        with watch("finish"):
            thread.finish()
    return frames, {**watch.seconds, **encoder.watch.seconds}


def _opened(open_encoder: Callable[..., Mp4Encoder], wanted: VideoEncoder) -> Mp4Encoder:
    """An encoder that uses `wanted`, or x264 if that cannot be opened."""
    try:
        return open_encoder(encoder=wanted)
    except (OSError, av.FFmpegError) as error:
        if wanted is X264:
            raise
        log.warning("video_encoder_not_opened", encoder=wanted.name, reason=f"{error}", used=X264.name)
        return open_encoder(encoder=X264)


def _feed(
    thread: _EncoderThread,
    rendering: Rendering,
    watch: Stopwatch,
    on_frame: Callable[[int], None] | None,
) -> int:
    """Number of frames."""
    done, announced = 0, rendering.frames
    batches = iter(rendering.batches)
    while True:
        with watch("render"):
            batch = next(batches, None)
        count = 0 if batch is None else len(batch)
        if batch is None and done == 0:
            raise ValueError("a video needs at least one frame")
        if announced is not None and (done + count > announced or (batch is None and done < announced)):
            raise ValueError(f"{done + count} frames were rendered, but {announced} were announced")
        if batch is None:
            return done
        for picture in batch:
            with watch("wait"):
                frame = thread.free_frame()
            with watch("convert"):
                frame.paste(picture, rendering.box)
            thread.send(frame)
        done += count
        if on_frame:
            on_frame(done)


class _EncoderThread:
    """Runs the encoder in a separate thread. An error on either side ends both."""

    def __init__(self, encoder: Mp4Encoder, ring: list[RingFrame], path: Path) -> None:
        self._encoder = encoder
        self._path = path
        self._free: SimpleQueue[RingFrame | None] = SimpleQueue()
        """Frames to draw into. None means that the encoder has ended."""
        self._ready: SimpleQueue[RingFrame | _Last] = SimpleQueue()
        """Frames to encode, at most as many as the ring has."""
        for frame in ring:
            self._free.put(frame)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="encoder")

    def start(self) -> None:
        """Start encoding. `close` must be called afterwards."""
        self._result: Future[None] = self._pool.submit(self._run)

    def close(self) -> None:
        """End the thread. Without a previous `finish` the video is lost."""
        self._ready.put(_Last(keep=False))
        self._pool.shutdown(wait=True)

    def free_frame(self) -> RingFrame:
        """Wait for a frame to draw into. Raises the error that ended the encoder, if there was one."""
        frame = self._free.get()
        if frame is None:
            self._raise_encoder_error()
            raise RuntimeError("the encoder ended before the last frame")
        return frame

    def send(self, frame: RingFrame) -> None:
        """Give a drawn frame to the encoder."""
        self._ready.put(frame)

    def finish(self) -> None:
        """Wait until the file is complete. Raises the error of the encoder, if there was one."""
        self._ready.put(_Last(keep=True))
        self._raise_encoder_error()

    def _raise_encoder_error(self) -> None:
        try:
            self._result.result()
        except (OSError, av.FFmpegError) as error:
            raise output_error(self._path, error.errno, error.strerror) from error

    def _run(self) -> None:
        try:
            while isinstance(item := self._next(), RingFrame):
                self._encoder.encode(item.frame)
                self._free.put(item)
            if item.keep:
                self._encoder.finish()
        finally:
            self._encoder.abandon()
            self._free.put(None)

    def _next(self) -> RingFrame | _Last:
        with self._encoder.watch("starve"):
            return self._ready.get()


@dataclass(frozen=True)
class _Last:
    """Signals the end of the frames."""

    keep: bool
    """Whether to keep the video or discard it."""


def _check(rendering: Rendering) -> None:
    height, width, channels = rendering.background.shape
    x0, y0, x1, y1 = rendering.box
    if channels not in {3, 4} or height % 2 or width % 2 or any(side % 2 for side in rendering.box):
        raise ValueError(f"background {rendering.background.shape} and box {rendering.box} must be even")
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"box {rendering.box} is not inside the background {rendering.background.shape}")
    if rendering.frames is not None and rendering.frames < 1:
        raise ValueError("a video needs at least one frame")
