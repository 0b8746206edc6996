"""Frames arrive in batches and in order, videos share batches, and memory is bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from tests.support.running_service import until

torch = pytest.importorskip("torch")

from sadtalker_service.engines.sadtalker.renderer.renderer import Scene  # noqa: E402
from sadtalker_service.engines.sadtalker.runtime.frames import FramePainter  # noqa: E402
from sadtalker_service.errors import EngineUnavailable  # noqa: E402

PATIENCE = 20


class Shades:
    """Draws each frame in the shade of its source (red) and of its keypoints (green), with the renderer's
    interface."""

    def __init__(self, *, most: int = 1000) -> None:
        self.batches: list[int] = []
        self.sources: list[list[int]] = []
        self.most = most
        self.gate = threading.Event()
        self.gate.set()

    def render(self, scene: Any, driving: Any) -> Any:
        assert self.gate.wait(PATIENCE)
        self.batches.append(len(driving))
        self.sources.append(scene.keypoints[:, 0, 0].int().tolist())
        if len(driving) > self.most:
            raise torch.OutOfMemoryError("no room")
        if (driving < 0).any():
            raise RuntimeError("a defect")
        colours = torch.zeros(len(driving), 3, 4, 4)
        colours[:, 0] = scene.keypoints[:, 0, 0, None, None] / 255
        colours[:, 1] = driving[:, 0, 0, None, None] / 255
        return colours


def source(shade: int) -> Any:
    return Scene(torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2), torch.full((1, 15, 3), float(shade)))


def frames(count: int, first: int = 0) -> Any:
    return (torch.arange(first, first + count).float())[:, None, None].expand(-1, 15, 3)


def shades(pictures: Any) -> list[tuple[int, int]]:
    """(red, green) of each frame."""
    return [tuple(picture[0, 0, :2].tolist()) for picture in pictures]


def painted(painter: FramePainter, scene: Any, keypoints: Any, limit: int | None = None) -> Any:
    return np.concatenate(list(painter.paint(scene, keypoints, limit)))


def test_all_frames_arrive_in_order() -> None:
    renderer = Shades()
    pictures = painted(FramePainter(renderer, 4), source(7), frames(11))
    assert pictures.dtype == np.uint8
    assert pictures.shape == (11, 4, 4, 3)
    assert shades(pictures) == [(7, k) for k in range(11)]
    assert renderer.batches == [4, 4, 3]


def test_a_video_can_limit_its_batches() -> None:
    renderer = Shades()
    painted(FramePainter(renderer, 8), source(7), frames(5), 2)
    assert renderer.batches == [2, 2, 1]


def test_concurrent_videos_share_batches_and_keep_their_faces() -> None:
    renderer = Shades()
    painter = FramePainter(renderer, 6)
    renderer.gate.clear()
    with ThreadPoolExecutor(3) as threads:
        counts = {10: 7, 20: 3, 30: 12}
        found = {
            shade: threads.submit(painted, painter, source(shade), frames(count, shade))
            for shade, count in counts.items()
        }
        until(lambda: len(painter._videos) == 3, "all videos wait", PATIENCE)
        renderer.gate.set()
        for shade, count in counts.items():
            pictures = found[shade].result(PATIENCE)
            assert shades(pictures) == [(shade, shade + k) for k in range(count)]
    assert max(renderer.batches) == 6
    assert sum(renderer.batches) == 22
    assert len(renderer.batches) <= 6, "without sharing there would be seven or more"


def test_a_long_video_does_not_starve_others() -> None:
    renderer = Shades()
    painter = FramePainter(renderer, 4)
    renderer.gate.clear()
    with ThreadPoolExecutor(2) as threads:
        long = threads.submit(painted, painter, source(1), frames(200))
        short = threads.submit(painted, painter, source(2), frames(4))
        until(lambda: len(painter._videos) == 2, "both videos wait", PATIENCE)
        renderer.gate.set()
        assert shades(short.result(PATIENCE)) == [(2, k) for k in range(4)]
        assert len(long.result(PATIENCE)) == 200
    assert max(number for number, shown in enumerate(renderer.sources) if 2 in shown) < 4


def test_out_of_memory_halves_the_batch_and_continues() -> None:
    renderer = Shades(most=3)
    painter = FramePainter(renderer, 16)
    assert shades(painted(painter, source(7), frames(20))) == [(7, k) for k in range(20)]
    assert renderer.batches[:4] == [16, 8, 4, 2]
    assert painter.batch_size == 2


def test_too_little_memory_for_one_frame_is_an_error() -> None:
    with pytest.raises(EngineUnavailable, match="not enough memory for a single frame"):
        painted(FramePainter(Shades(most=0), 4), source(7), frames(4))


def test_a_defect_fails_only_the_videos_of_its_batch() -> None:
    painter = FramePainter(Shades(), 4)
    with pytest.raises(RuntimeError, match="a defect"):
        painted(painter, source(7), frames(4, -10))
    assert shades(painted(painter, source(7), frames(2))) == [(7, 0), (7, 1)]


def test_a_defect_of_one_video_does_not_fail_others_in_its_batch() -> None:
    renderer = Shades()
    painter = FramePainter(renderer, 4)
    renderer.gate.clear()
    with ThreadPoolExecutor(2) as threads:
        good = threads.submit(painted, painter, source(7), frames(6))
        bad = threads.submit(painted, painter, source(8), frames(6, -10))
        until(lambda: len(painter._videos) == 2, "both videos wait", PATIENCE)
        renderer.gate.set()
        assert shades(good.result(PATIENCE)) == [(7, k) for k in range(6)]
        with pytest.raises(RuntimeError, match="a defect"):
            bad.result(PATIENCE)


def test_a_failed_thread_leaves_no_video_waiting() -> None:
    def fail(videos: int, frames: int) -> None:
        raise OSError("no space left")

    painter = FramePainter(Shades(), 4, on_batch=fail)
    for _ in range(2):
        with pytest.raises(OSError, match="no space left"):
            painted(painter, source(7), frames(4))


def test_out_of_memory_halves_a_padded_batch() -> None:
    renderer = Shades(most=3)
    painter = FramePainter(renderer, 16, padded=True)
    assert shades(painted(painter, source(7), frames(1))) == [(7, 0)]
    assert renderer.batches == [16, 8, 4, 2]


def test_drawing_does_not_run_far_ahead_of_fetching() -> None:
    renderer = Shades()
    painter = FramePainter(renderer, 2)
    with closing(painter.paint(source(7), frames(100))) as slow:
        assert renderer.batches == [], "nothing is drawn before the first request"
        next(slow)
        time.sleep(0.3)
        assert len(renderer.batches) <= 3
    drawn = len(renderer.batches)
    time.sleep(0.1)
    assert len(renderer.batches) <= drawn + 1, "a consumer that stops early leaves nothing behind"
    assert shades(painted(painter, source(9), frames(1))) == [(9, 0)]


def test_a_compiled_renderer_always_gets_a_full_batch() -> None:
    renderer = Shades()
    assert shades(painted(FramePainter(renderer, 4, padded=True), source(7), frames(6))) == [
        (7, k) for k in range(6)
    ]
    assert renderer.batches == [4, 4]


def test_threads_end_when_there_is_nothing_to_draw() -> None:
    painter = FramePainter(Shades(), 4)
    painted(painter, source(7), frames(4))
    until = time.monotonic() + PATIENCE
    while any(thread.name == "frames" for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    until = time.monotonic() + PATIENCE
    while any(thread.name == "frames" for thread in threading.enumerate()):
        assert time.monotonic() < until, "a thread is still running"
        time.sleep(0.01)
