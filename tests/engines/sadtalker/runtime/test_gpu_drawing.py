"""Graphs, slots and batches that overlap: the logic of drawing on a GPU, with work done on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sadtalker_service.engines.sadtalker.renderer.gpu.graphs import (  # noqa: E402
    Captured,
    FrameGraphs,
    Limits,
    fitting,
)
from sadtalker_service.engines.sadtalker.renderer.gpu.slots import (  # noqa: E402
    SourceSlots,
    empty_table,
)
from sadtalker_service.engines.sadtalker.renderer.renderer import Scene  # noqa: E402
from sadtalker_service.engines.sadtalker.runtime.drawing import Part  # noqa: E402
from sadtalker_service.engines.sadtalker.runtime.frames import FramePainter  # noqa: E402
from sadtalker_service.engines.sadtalker.runtime.gpu_drawing import GpuDrawer  # noqa: E402

PATIENCE = 20
AMPLE = Limits(seconds=1000, memory=10**12)


class Shades:
    """Draws each frame in the shade of its source (red) and of its keypoints (green), with the interface of
    the form for a GPU."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def pixels(self, sources: Any, driving: Any) -> Any:
        self.batches.append(len(driving))
        found = torch.zeros(len(driving), 2, 2, 3, dtype=torch.uint8)
        owners = sources.owners.long()
        assert torch.equal(sources.volume[owners, 0, 0, 0, 0].float(), sources.keypoints[owners, 0, 0])
        found[..., 0] = sources.keypoints[owners, 0, 0, None, None]
        found[..., 1] = driving[:, 0, 0, None, None]
        return found


class Repeating:
    """Captures by doing the work again into the memory of the first time, as a graph does."""

    def __init__(self, bytes_each: int = 100, failing: int = 0) -> None:
        self.held = 0
        self.replays: list[int] = []
        self._bytes_each = bytes_each
        self._failing = failing

    def __call__(self, run: Callable[[], Any]) -> Captured:
        result = run()
        if len(result) == self._failing:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.held += self._bytes_each

        def replay() -> None:
            self.replays.append(len(result))
            result.copy_(run())

        return Captured(replay, result)

    def memory(self) -> int:
        return self.held


def scene(shade: int) -> Scene:
    return Scene(
        torch.full((1, 2, 2, 2, 2), float(shade)),
        torch.zeros(1, 1, 2, 2, 2),
        torch.full((1, 15, 3), float(shade)),
    )


def frames(count: int, first: int = 0) -> Any:
    return (torch.arange(first, first + count).float())[:, None, None].expand(-1, 15, 3)


def shades(pictures: Any) -> list[tuple[int, ...]]:
    """(red, green) of each frame."""
    return [tuple(picture[0, 0, :2].tolist()) for picture in pictures]


def made(
    sizes: Sequence[int], slots: int = 4, capture: Repeating | None = None, limits: Limits = AMPLE
) -> tuple[GpuDrawer, FrameGraphs, Repeating]:
    capture = capture or Repeating()
    table = empty_table(scene(0), slots)
    graphs = FrameGraphs(Shades(), table, capture, limits)
    graphs.capture(sizes)
    return GpuDrawer(graphs, SourceSlots(table)), graphs, capture


@pytest.mark.parametrize(
    ("wanted", "drawn"),
    [(1, 1), (2, 2), (3, 3), (5, 4), (6, 6), (7, 7), (11, 8), (12, 12), (16, 16), (30, 16)],
)
def test_a_batch_wastes_little_of_a_graph(wanted: int, drawn: int) -> None:
    assert fitting(wanted, (1, 2, 4, 8, 16)) == drawn
    assert fitting(wanted, ()) == wanted, "without graphs nothing is wasted"
    assert fitting(1, (4, 8)) == 1, "the smallest graph is used, however much of it is wasted"


def test_frames_come_from_the_smallest_graph_that_is_large_enough() -> None:
    drawer, graphs, capture = made((1, 2, 4))
    assert graphs.sizes == (1, 2, 4)
    one = scene(7)
    for count, used in ((1, 1), (2, 2), (3, 4), (4, 4)):
        assert shades(drawer.begin([Part(one, frames(count, count))])()) == [
            (7, count + k) for k in range(count)
        ]
        assert capture.replays[-1] == used
    assert shades(drawer.begin([Part(one, frames(6))])()) == [(7, k) for k in range(6)]
    assert len(capture.replays) == 4, "a batch larger than every graph is drawn without one"


def test_a_result_is_not_overwritten_by_the_next_batch() -> None:
    drawer, _, _ = made((2,))
    first = drawer.begin([Part(scene(7), frames(2))])
    second = drawer.begin([Part(scene(8), frames(2, 5))])
    assert shades(first()) == [(7, 0), (7, 1)]
    assert shades(second()) == [(8, 5), (8, 6)]


def test_frames_of_several_sources_share_a_graph() -> None:
    drawer, _, capture = made((4,), slots=3)
    faces = [scene(shade) for shade in (10, 20, 30, 40)]
    for numbers in ((0, 1), (1, 2), (3, 1, 0), (2,), (0, 3)):
        parts = [Part(faces[number], frames(1, number)) for number in numbers]
        wanted = [((number + 1) * 10, number) for number in numbers]
        assert shades(drawer.begin(parts)()) == wanted
    assert capture.replays == [4] * 5


def test_slots_are_kept_as_long_as_there_is_room() -> None:
    slots, (a, b, c) = SourceSlots(empty_table(scene(0), 2)), (scene(1), scene(2), scene(3))
    assert slots.place([a, b]) == [0, 1]
    slots.place([a])
    assert slots.place([c, a]) == [1, 0], "the slot that was not used for the longest time"
    assert slots.table.keypoints[:, 0, 0].tolist() == [1, 3]
    with pytest.raises(ValueError, match="3 sources for 2 slots"):
        slots.place([a, b, c])


def test_capturing_ends_with_its_time() -> None:
    now = iter([0.0, 1.0, 6.0, 11.0])
    graphs = FrameGraphs(
        Shades(), empty_table(scene(0), 2), Repeating(), Limits(10, 10**9), lambda: next(now)
    )
    graphs.capture((1, 2, 4))
    assert graphs.sizes == (2, 4)
    assert graphs.failure == "10 s are over"


def test_capturing_ends_with_its_memory() -> None:
    _, graphs, _ = made((1, 2, 4, 8), capture=Repeating(100), limits=Limits(1000, 250))
    assert graphs.sizes == (4, 8)
    assert "more than" in str(graphs.failure)


def test_a_capture_that_fails_leaves_the_others_and_the_plain_way() -> None:
    drawer, graphs, capture = made((1, 2, 4, 8), capture=Repeating(failing=2))
    assert graphs.sizes == (4, 8)
    assert "not permitted" in str(graphs.failure)
    assert shades(drawer.begin([Part(scene(7), frames(1))])()) == [(7, 0)]
    assert capture.replays == [4]
    without, graphs, _ = made((1, 2), capture=Repeating(failing=2))
    assert graphs.sizes == ()
    assert shades(without.begin([Part(scene(7), frames(2))])()) == [(7, 0), (7, 1)]


def painted(painter: FramePainter, face: Scene, keypoints: Any) -> Any:
    return list(painter.paint(face, keypoints))


def test_the_first_batch_is_small_and_the_others_fill_graphs() -> None:
    drawer, _, capture = made((1, 2, 4, 8))
    pictures = painted(FramePainter(Any, 8, drawer=drawer), scene(7), frames(25))
    assert shades(np.concatenate(pictures)) == [(7, k) for k in range(25)]
    assert [len(batch) for batch in pictures] == [2, 8, 8, 7]
    assert capture.replays == [2, 8, 8, 8]


class Slow:
    """A drawer whose batches are finished when they are waited for, and that notes the order."""

    overlaps = True

    def __init__(self, failing: int = -1) -> None:
        self.order: list[tuple[str, int]] = []
        self._failing = failing
        self._batches = 0

    def fit(self, wanted: int) -> int:
        return wanted

    def begin(self, parts: Sequence[Part]) -> Callable[[], Any]:
        number, self._batches = self._batches, self._batches + 1
        self.order.append(("begin", number))
        values = torch.cat([part.driving[:, 0, 0] for part in parts]).numpy().astype(np.uint8)

        def finish() -> Any:
            self.order.append(("finish", number))
            if number == self._failing:
                raise RuntimeError("CUDA error: unspecified launch failure")
            return values[:, None, None, None]

        return finish


def test_a_batch_begins_before_the_last_one_is_finished() -> None:
    drawer = Slow()
    found = painted(FramePainter(Any, 4, drawer=drawer), scene(7), frames(9))
    assert np.concatenate(found).flatten().tolist() == list(range(9))
    assert drawer.order[:3] == [("begin", 0), ("begin", 1), ("finish", 0)]
    assert [number for kind, number in drawer.order if kind == "finish"] == [0, 1, 2]


def test_an_error_that_shows_late_ends_the_videos_of_its_batch_alone() -> None:
    painter = FramePainter(Any, 4, drawer=Slow(failing=1))
    with pytest.raises(RuntimeError, match="launch failure"):
        painted(painter, scene(7), frames(9))
    assert np.concatenate(painted(painter, scene(8), frames(5))).flatten().tolist() == list(range(5))


@pytest.mark.parametrize("videos", [1, 4, 16])
def test_batches_are_full_and_shared_fairly(videos: int) -> None:
    drawer, _, capture = made((1, 2, 4, 8, 16), slots=16)
    shared: list[tuple[int, int]] = []
    painter = FramePainter(
        Any, 16, drawer=drawer, on_batch=lambda faces, count: shared.append((faces, count))
    )
    together = threading.Barrier(videos)

    def watched(number: int) -> list[Any]:
        together.wait(PATIENCE)
        return painted(painter, scene(number), frames(48))

    with ThreadPoolExecutor(videos) as threads:
        found = list(threads.map(watched, range(videos)))
    for number, pictures in enumerate(found):
        assert shades(np.concatenate(pictures)) == [(number, k) for k in range(48)]
        assert max(len(batch) for batch in pictures) <= 16
    assert sum(count for _, count in shared) == 48 * videos
    assert sum(capture.replays) <= 1.3 * 48 * videos, "little is drawn for nobody"
    if videos > 1:
        assert max(faces for faces, _ in shared) > 1


@pytest.mark.slow
def test_the_form_for_a_gpu_draws_a_video_like_the_trained_form(networks: Any) -> None:
    """The real networks behind the real painter; captured work is repeated where a GPU replays a graph."""
    from tests.support.sadtalker_weights import noise, picture

    from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer, as_pixels
    from sadtalker_service.engines.sadtalker.runtime.gpu_drawing import prepared_drawer

    source = torch.from_numpy(noise("kp_source", (1, 15, 3), 0.35))
    driving = source + torch.from_numpy(noise("kp_driving", (3, 15, 3), 0.06))
    photo = torch.from_numpy(picture(128)[None])
    wanted = as_pixels(networks.generator(photo, source, driving[2:])).numpy()
    renderer = FaceRenderer(networks.generator, networks.keypoint_detector)
    renderer.run_frames_in(torch.float32, channels_last=True)
    face = renderer.scene(renderer.encode_source(photo).volume, source)
    capture = Repeating()
    drawer = prepared_drawer(renderer, face, 2, sizes=(1, 2), capture=capture)
    found = np.concatenate(painted(FramePainter(renderer, 2, drawer=drawer), face, driving))
    assert capture.replays == [2, 1]
    assert found.shape == (3, 128, 128, 3)
    assert np.abs(found[2:].astype(int) - wanted.astype(int)).max() <= 1
