"""Frames as CUDA graphs: a whole batch is one launch, for the batch sizes that are in use.

A graph reads and writes fixed memory. So sources lie in a table of slots, and a frame names its slot. All
graphs share one pool of memory, because only one of them runs at a time. The first ones to be captured are
the largest, so that the others find room in the memory of these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sadtalker_service.engines.sadtalker.renderer.gpu.form import FramesOnGpu
from sadtalker_service.engines.sadtalker.renderer.gpu.steps import Sources

SIZES = (16, 8, 4, 2, 1)
"""Batch sizes that are captured."""
_WASTE = 0.25
"""Share of a batch that may be frames nobody wants, before a smaller batch is better."""


class Captured(NamedTuple):
    """Work that can be repeated."""

    replay: Callable[[], None]
    result: Tensor
    """Written by each `replay`."""


class Capture(Protocol):
    """Records work."""

    def __call__(self, run: Callable[[], Tensor]) -> Captured:
        """Record `run`, which reads and writes the same memory whenever it is called."""

    def memory(self) -> int:
        """Bytes of the device that this process holds."""


@dataclass(frozen=True)
class Limits:
    """When to stop capturing. Sizes that are left out run without a graph."""

    seconds: float
    memory: int
    """Bytes that all graphs together may add to this process."""


class _Inputs(NamedTuple):
    driving: Tensor
    owners: Tensor


class FrameGraphs:
    """The graphs of one renderer and one frame size."""

    def __init__(
        self,
        frames: FramesOnGpu,
        table: Sources,
        capture: Capture,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`table`: the slots. Its owners are not read."""
        self._frames = frames
        self.table = table
        self._capture = capture
        self._limits = limits
        self._clock = clock
        self._captured: dict[int, tuple[_Inputs, Captured]] = {}
        self.failure: str | None = None
        """Why capturing stopped early."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Batch sizes with a graph, in ascending order."""
        return tuple(sorted(self._captured))

    def capture(self, sizes: Sequence[int]) -> None:
        """Capture these sizes, the largest first, as long as the limits allow. A failure ends it; what has
        been captured stays usable."""
        until, before = self._clock() + self._limits.seconds, self._capture.memory()
        for size in sorted(sizes, reverse=True):
            if self._clock() >= until:
                self.failure = f"{self._limits.seconds:g} s are over"
                return
            try:
                self._captured[size] = self._record(size)
            except RuntimeError as error:  # also a lack of memory
                self.failure = f"{type(error).__name__}: {error}"
                return
            if self._capture.memory() - before > self._limits.memory:
                del self._captured[size]
                self.failure = f"more than {self._limits.memory / 1e9:.1f} GB"
                return

    def draw(self, driving: Tensor, owners: Tensor) -> Tensor:
        """(n, K, 3) keypoints and (n,) slots -> (n, S, S, 3) uint8, overwritten by the next call.

        Uses the smallest graph that is large enough. Without one, draws directly.
        """
        count = len(driving)
        size = next((size for size in self.sizes if size >= count), None)
        if size is None:
            return self._frames.pixels(self.table._replace(owners=owners), driving)
        inputs, captured = self._captured[size]
        inputs.driving[:count].copy_(driving)
        inputs.owners[:count].copy_(owners)
        captured.replay()
        return captured.result[:count]

    def _record(self, size: int) -> tuple[_Inputs, Captured]:
        like = self.table.keypoints
        inputs = _Inputs(
            like.new_zeros(size, *like.shape[1:]),
            torch.zeros(size, dtype=torch.int32, device=like.device),
        )
        sources = self.table._replace(owners=inputs.owners)
        return inputs, self._capture(lambda: self._frames.pixels(sources, inputs.driving))


def fitting(wanted: int, sizes: Sequence[int]) -> int:
    """How many of `wanted` frames to draw next, so that little of a graph is wasted.

    All of them if a graph is about as large, otherwise as many as the largest graph that they fill.
    """
    if wanted in sizes or not sizes:
        return wanted
    larger = [size for size in sizes if size > wanted]
    smaller = [size for size in sizes if size < wanted]
    if larger and (not smaller or wanted >= (1 - _WASTE) * min(larger)):
        return wanted
    return max(smaller)


class CudaCapture:
    """Records CUDA graphs with a common pool."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Callable[[], Tensor]) -> Captured:
        """See `Capture`. Runs first, so that kernels are compiled and convolutions chosen by measurement."""
        with torch.cuda.device(self._device):
            with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
                self._run_aside(run)
                graph = torch.cuda.CUDAGraph()
                # other threads may use the device meanwhile
                with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                    result = run()
            torch.cuda.synchronize(self._device)
            return Captured(graph.replay, result)

    def memory(self) -> int:
        """See `Capture`."""
        return torch.cuda.memory_reserved(self._device)

    def _run_aside(self, run: Callable[[], Tensor]) -> None:
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(2):
                run()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        torch.cuda.synchronize(self._device)
