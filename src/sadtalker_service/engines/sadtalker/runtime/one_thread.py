"""Run all work of one kind in one thread.

cuDNN's plans are kept by thread, and preparing one takes about a millisecond for each layer and shape. The
requests of an inference server come in threads of their own and would prepare all of them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.inference_port import EncodedFace, Float32, Networks
from sadtalker_service.engines.sadtalker.runtime.drawing import Drawer, Finish, Part

Result = TypeVar("Result")


class OneThread:
    """A thread that does one thing after the other. It ends with the process."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    def run(self, work: Callable[[], Result]) -> Result:
        """The result of `work`, or its error."""
        return self._pool.submit(work).result()


class NetworksInThread:
    """Implements `inference_port.Networks`."""

    def __init__(self, networks: Networks, thread: OneThread) -> None:
        self._networks = networks
        self._thread = thread

    def regress(self, pictures: Uint8Image) -> Float32:
        """See `inference_port.Networks`."""
        return self._thread.run(partial(self._networks.regress, pictures))

    def encode(self, square: Uint8Image, row: Float32, *, full_frame: bool) -> EncodedFace:
        """See `inference_port.Networks`."""
        return self._thread.run(partial(self._networks.encode, square, row, full_frame=full_frame))

    def expression(self, windows: Float32, reference: Float32, blink: Float32) -> Float32:
        """See `inference_port.Networks`."""
        return self._thread.run(partial(self._networks.expression, windows, reference, blink))

    def pose(self, windows: Float32, source: Float32, *, style: int, seed: int, chunk: int = 0) -> Float32:
        """See `inference_port.Networks`."""
        work = partial(self._networks.pose, windows, source, style=style, seed=seed, chunk=chunk)
        return self._thread.run(work)

    def keypoints(
        self, semantics: Float32, canonical: Float32, view: Mapping[str, Float32], *, full_frame: bool
    ) -> Float32:
        """See `inference_port.Networks`."""
        work = partial(self._networks.keypoints, semantics, canonical, view, full_frame=full_frame)
        return self._thread.run(work)


class DrawerInThread:
    """Implements `drawing.Drawer`. Batches begin in the thread; whoever draws them waits for their end."""

    def __init__(self, drawer: Drawer, thread: OneThread) -> None:
        self.overlaps = drawer.overlaps
        self._drawer = drawer
        self._thread = thread

    def fit(self, wanted: int) -> int:
        """See `drawing.Drawer`."""
        return self._drawer.fit(wanted)

    def begin(self, parts: Sequence[Part]) -> Finish:
        """See `drawing.Drawer`."""
        return self._thread.run(partial(self._drawer.begin, parts))
