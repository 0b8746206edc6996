"""Draw frames of one or several videos in batches, in a separate thread, while others paste and encode.

Videos rendered at the same time share batches, because each frame carries its own source. Many short videos
therefore fill a GPU as well as one long video. Results leave the device as bytes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import structlog
import torch
from torch import Tensor

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer, Scene, as_pixels, joined
from sadtalker_service.errors import EngineUnavailable

log = structlog.get_logger(__name__)

_AHEAD = 2
"""Batches that are buffered for a video if its frames are not fetched fast enough."""
_GROW_SECONDS = 600.0
"""Seconds after a batch was halved until a larger one is tried again."""


@dataclass(eq=False)
class _Video:
    """A video with frames to draw. Guarded by the painter's lock."""

    scene: Scene
    """A scene with one source."""
    keypoints: Tensor
    """(F, 15, 3)"""
    limit: int
    """Maximum number of its frames in one batch."""
    begun: int = 0
    """Number of frames already assigned to a batch."""
    done: deque[Uint8Image] = field(default_factory=deque)
    error: Exception | None = None
    closed: bool = False

    @property
    def wants(self) -> int:
        """Number of frames that may go into the next batch."""
        if self.closed or self.error or len(self.done) >= _AHEAD:
            return 0
        return min(self.limit, len(self.keypoints) - self.begun)


class FramePainter:
    """Draws frames with one renderer. Thread-safe."""

    def __init__(
        self,
        renderer: FaceRenderer,
        batch_size: int,
        *,
        padded: bool = False,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> None:
        """`batch_size`: maximum number of frames at once, over all videos. `padded`: always draw exactly
        `batch_size` frames, for a renderer compiled for that size. `on_batch` is called after each batch with
        the number of videos that share it and its number of frames."""
        self._renderer = renderer
        self._batch_size = batch_size
        self._padded = padded
        self._most = batch_size
        self._halved_at = 0.0
        self._drawing_since: float | None = None
        self._on_batch = on_batch or (lambda _videos, _frames: None)
        self._videos: list[_Video] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def batch_size(self) -> int:
        """Maximum number of frames at once. Smaller than at the start if memory ran out."""
        return self._batch_size

    @property
    def drawing_seconds(self) -> float:
        """Seconds since the current batch started, or 0 if no batch is being drawn."""
        since = self._drawing_since
        return 0.0 if since is None else time.monotonic() - since

    def paint(self, scene: Scene, keypoints: Tensor, limit: int | None = None) -> Generator[Uint8Image]:
        """Yield uint8 (n, S, S, 3) RGB until all frames are drawn. Starts when the first frames are
        requested.

        Args:
            scene: a scene with one source.
            keypoints: (F, 15, 3) of the frames, on the device.
            limit: maximum number of frames of this video per batch, or None for no separate limit.

        Raises any drawing error, and `EngineUnavailable` if memory is insufficient even for one frame.
        """
        video = _Video(scene, keypoints, max(1, limit or self._batch_size))
        yielded = 0
        try:
            self._add(video)
            while yielded < len(keypoints):
                pictures = self._next(video)
                yielded += len(pictures)
                yield pictures
        finally:
            self._remove(video)

    def _add(self, video: _Video) -> None:
        with self._changed:
            self._videos.append(video)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="frames", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _next(self, video: _Video) -> Uint8Image:
        with self._changed:
            self._changed.wait_for(lambda: video.done or video.error)
            if not video.done and video.error:
                raise video.error
            pictures = video.done.popleft()
            self._changed.notify_all()
            return pictures

    def _remove(self, video: _Video) -> None:
        with self._changed:
            video.closed = True
            if video in self._videos:
                self._videos.remove(video)
            self._changed.notify_all()

    def _run(self) -> None:
        """Main loop of the thread, until there is nothing left to draw. The next video starts a new
        thread."""
        try:
            with torch.inference_mode():
                while parts := self._take():
                    self._drawing_since = time.monotonic()
                    self._draw(parts)
                    self._drawing_since = None
        except Exception as error:  # noqa: BLE001 - raised again where frames are waited for
            self._give_up(error)

    def _take(self) -> list[tuple[_Video, int]]:
        """The next batch: videos with their numbers of frames in it, in rotation. Empty if no video is
        left."""
        with self._changed:
            self._changed.wait_for(lambda: not self._videos or any(video.wants for video in self._videos))
            if not self._videos:
                self._thread = None
                return []
            self._grow_again()
            waiting = [video for video in self._videos if video.wants]
            shares = _shares([video.wants for video in waiting], self._batch_size)
            self._videos.append(self._videos.pop(0))  # rotate, because the first video gets the odd frame
            return [(video, count) for video, count in zip(waiting, shares, strict=True) if count]

    def _draw(self, parts: list[tuple[_Video, int]]) -> None:
        try:
            pictures = self._pictures(parts)
        except torch.OutOfMemoryError as error:
            self._halve(parts, error)
            return
        except Exception as error:  # noqa: BLE001 - raised again where the frames are waited for
            if len(parts) > 1:  # draw each video separately to find the one that fails
                log.warning("batch_divided", videos=len(parts), reason=str(error))
                for part in parts:
                    self._draw([part])
                return
            with self._changed:
                parts[0][0].error = error
                self._changed.notify_all()
            return
        self._on_batch(len(parts), len(pictures))
        with self._changed:
            start = 0
            for video, count in parts:
                video.begun += count
                video.done.append(pictures[start : start + count])
                start += count
            self._changed.notify_all()

    def _pictures(self, parts: list[tuple[_Video, int]]) -> Uint8Image:
        """uint8 (n, S, S, 3) of all parts, one after the other."""
        driving = torch.cat([video.keypoints[video.begun : video.begun + count] for video, count in parts])
        frames = len(driving)
        missing = self._batch_size - frames if self._padded else 0
        if missing > 0:
            driving = torch.cat([driving, driving[-1:].expand(missing, -1, -1)])
        scene = parts[0][0].scene
        if len(parts) > 1:
            owners = [number for number, (_, count) in enumerate(parts) for _ in range(count)]
            owners += owners[-1:] * max(0, missing)
            scene = joined([video.scene for video, _ in parts]).take(owners)
        drawn = as_pixels(self._renderer.render(scene, driving))[:frames]
        pictures: Uint8Image = drawn.cpu().numpy()
        return pictures

    def _give_up(self, error: Exception) -> None:
        """End this thread with an error for all waiting videos. The next video starts a new thread."""
        with self._changed:
            for video in self._videos:
                video.error = error
            self._thread = self._drawing_since = None
            self._changed.notify_all()

    def _grow_again(self) -> None:
        """Try a larger batch again, because the cause of the memory shortage may be gone."""
        if self._batch_size < self._most and time.monotonic() - self._halved_at > _GROW_SECONDS:
            self._batch_size = min(self._most, 2 * self._batch_size)
            self._halved_at = time.monotonic()

    def _halve(self, parts: list[tuple[_Video, int]], error: Exception) -> None:
        frames = self._batch_size if self._padded else sum(count for _, count in parts)
        torch.cuda.empty_cache()
        with self._changed:
            if frames > 1:
                self._batch_size, self._halved_at = max(1, frames // 2), time.monotonic()
                log.warning("batch_halved", frames=self._batch_size)
                return
            lacking = EngineUnavailable(
                "There is not enough memory for a single frame. Use a smaller size or another device."
            )
            lacking.__cause__ = error
            parts[0][0].error = lacking
            self._changed.notify_all()


def _shares(wants: list[int], room: int) -> list[int]:
    """Divide `room` places among the videos, as evenly as their `wants` allow."""
    shares = [0] * len(wants)
    left = room
    while left and any(share < want for share, want in zip(shares, wants, strict=True)):
        open_ = [k for k, want in enumerate(wants) if shares[k] < want]
        each = max(1, left // len(open_))
        for k in open_:
            more = min(each, wants[k] - shares[k], left)
            shares[k] += more
            left -= more
    return shares
