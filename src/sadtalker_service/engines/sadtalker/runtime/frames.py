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
from typing import NamedTuple

import structlog
import torch
from torch import Tensor

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer, Scene
from sadtalker_service.engines.sadtalker.runtime.drawing import (
    DirectDrawer,
    Drawer,
    Finish,
    Part,
    divided,
)
from sadtalker_service.errors import EngineUnavailable

log = structlog.get_logger(__name__)

_AHEAD = 2
"""Batches that are buffered for a video if its frames are not fetched fast enough."""
_FIRST = 2
"""Frames of a video in its first batch, if batches overlap, so that its first picture comes at once."""
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
    most_at_first: int
    """The same for its first batch."""
    begun: int = 0
    """Number of frames already assigned to a batch."""
    drawing: int = 0
    """Number of batches with frames of this video that are not finished."""
    done: deque[Uint8Image] = field(default_factory=deque)
    error: Exception | None = None
    closed: bool = False

    @property
    def wants(self) -> int:
        """Number of frames that may go into the next batch."""
        if self.closed or self.error or len(self.done) + self.drawing >= _AHEAD:
            return 0
        return min(self.limit if self.begun else self.most_at_first, len(self.keypoints) - self.begun)


class _Share(NamedTuple):
    """Frames of one video in a batch."""

    video: _Video
    first: int
    number: int


class _Batch(NamedTuple):
    """A batch that has begun."""

    shares: list[_Share]
    finish: Finish


class FramePainter:
    """Draws frames with one renderer. Thread-safe."""

    def __init__(
        self,
        renderer: FaceRenderer,
        batch_size: int,
        *,
        padded: bool = False,
        on_batch: Callable[[int, int], None] | None = None,
        drawer: Drawer | None = None,
    ) -> None:
        """`batch_size`: maximum number of frames at once, over all videos. `padded`: always draw exactly
        `batch_size` frames, for a renderer compiled for that size. `on_batch` is called after each batch with
        the number of videos that share it and its number of frames. `drawer` draws instead of the renderer
        itself; `padded` does not apply to it."""
        self._drawer = drawer or DirectDrawer(renderer, lambda: self._batch_size if padded else 0)
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
        most = max(1, limit or self._batch_size)
        video = _Video(scene, keypoints, most, min(most, _FIRST) if self._drawer.overlaps else most)
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
        thread. If batches overlap, one is begun before the last one is finished."""
        begun: deque[_Batch] = deque()
        try:
            with torch.inference_mode():
                while (shares := self._take(wait=not begun)) or begun:
                    self._drawing_since = time.monotonic()
                    new = self._begin(shares) if shares else []
                    begun.extend(new)
                    while len(begun) > (1 if new and self._drawer.overlaps else 0):
                        self._finish(begun.popleft())
                    if not begun:
                        self._drawing_since = None
        except Exception as error:  # noqa: BLE001 - raised again where frames are waited for
            self._give_up(error)

    def _take(self, *, wait: bool) -> list[_Share]:
        """The next batch, with its videos in rotation. Empty if no video is left, and without `wait` if none
        wants frames now."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: not self._videos or any(video.wants for video in self._videos))
                if not self._videos:
                    self._thread = None
                    return []
            self._grow_again()
            waiting = [video for video in self._videos if video.wants]
            if not waiting:
                return []
            wants = [video.wants for video in waiting]
            counts = divided(wants, self._drawer.fit(min(self._batch_size, sum(wants))))
            self._videos.append(self._videos.pop(0))  # rotate, because the first video gets the odd frame
            return [
                _Share(video, video.begun, count)
                for video, count in zip(waiting, counts, strict=True)
                if count
            ]

    def _begin(self, shares: list[_Share]) -> list[_Batch]:
        """Begin a batch. If one of several videos fails, each gets its own. Empty if no batch has begun."""
        try:
            finish = self._drawer.begin([_part(share) for share in shares])
        except torch.OutOfMemoryError as error:
            self._halve(shares, error)
            return []
        except Exception as error:  # noqa: BLE001 - raised again where the frames are waited for
            if len(shares) > 1:
                log.warning("batch_divided", videos=len(shares), reason=str(error))
                return [batch for share in shares for batch in self._begin([share])]
            with self._changed:
                shares[0].video.error = error
                self._changed.notify_all()
            return []
        with self._changed:
            for share in shares:
                share.video.begun += share.number
                share.video.drawing += 1
        return [_Batch(shares, finish)]

    def _finish(self, batch: _Batch) -> None:
        """Wait for a batch and give its frames to their videos."""
        shares = batch.shares
        try:
            pictures = batch.finish()
        except Exception as error:  # noqa: BLE001 - raised again where the frames are waited for
            with self._changed:
                for share in shares:
                    share.video.drawing -= 1
                    share.video.error = error
                self._changed.notify_all()
            return
        self._on_batch(len(shares), len(pictures))
        with self._changed:
            start = 0
            for share in shares:
                share.video.drawing -= 1
                share.video.done.append(pictures[start : start + share.number])
                start += share.number
            self._changed.notify_all()

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

    def _halve(self, shares: list[_Share], error: Exception) -> None:
        frames = self._batch_size if self._padded else sum(share.number for share in shares)
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
            shares[0].video.error = lacking
            self._changed.notify_all()


def _part(share: _Share) -> Part:
    video, first, number = share
    return Part(video.scene, video.keypoints[first : first + number])
