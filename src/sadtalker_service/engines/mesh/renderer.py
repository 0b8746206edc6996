"""Render motion to frames, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Avatar, Motion, Rendering, Uint8Image
from sadtalker_service.engines.mesh.framing import framed, window_of
from sadtalker_service.engines.mesh.kernels.frame import draw_frames, draw_mattes
from sadtalker_service.engines.mesh.layout import Layout, lay_out
from sadtalker_service.media.backdrop import laid_over
from sadtalker_service.options import RenderOptions

BATCH = 8
"""Frames drawn at a time without the GIL. A cancelled job stops after at most two batches."""


def render(avatar: Avatar, motion: Iterator[Motion], style: RenderOptions) -> Rendering:
    """Render the video of a motion. Memory holds two batches of frames, whatever the length."""
    layout = lay_out(avatar.artefacts, style)
    rendering = Rendering(
        background=layout.background,
        box=layout.box,
        fps=style.fps,
        frames=None,
        batches=_batches(layout, motion),
    )
    if layout.behind is not None:
        rendering = laid_over(rendering, layout.behind)
    if style.aspect_ratio is None:
        return rendering
    return framed(rendering, window_of(layout, style.aspect_ratio, style.quality))


def _batches(layout: Layout, motion: Iterator[Motion]) -> Iterator[Uint8Image]:
    """Yield batches. While one is used, two threads draw the next one, if its motion is there already."""
    with ThreadPoolExecutor(2, thread_name_prefix="draw") as threads:
        buffers = cycle([_Batch(layout, threads), _Batch(layout, threads)])
        for window in motion:
            begun: _Batch | None = None
            for controls in _parts(window):
                following = next(buffers)
                following.begin(controls)
                if begun:
                    yield begun.drawn()
                begun = following
            if begun:
                yield begun.drawn()


class _Batch:
    """Frames that are drawn in other threads, again and again."""

    def __init__(self, layout: Layout, threads: ThreadPoolExecutor) -> None:
        self._layout = layout
        self._threads = threads
        self._frames = _blank(layout, BATCH)
        self._mattes = _blank_mattes(layout, BATCH)
        self._count = 0
        self._halves: list[Future[None]] = []

    def begin(self, controls: NDArray[np.float32]) -> None:
        """Draw a frame for each row of controls, at most `BATCH`."""
        self._count = len(controls)
        middle = self._count // 2
        parts = [slice(0, middle), slice(middle, self._count)] if middle else [slice(0, self._count)]
        self._halves = [
            self._threads.submit(_draw, self._layout, controls[part], self._frames[part], self._mattes[part])
            for part in parts
        ]

    def drawn(self) -> Uint8Image:
        """Wait for the frames, uint8 (n, h, w, channels). They stay until the next `begin`."""
        for half in self._halves:
            half.result()
        return self._frames[: self._count]


def _draw(
    layout: Layout, controls: NDArray[np.float32], frames: Uint8Image, mattes: NDArray[np.uint8]
) -> None:
    """Draw frames, and their opacity if the person is cut out."""
    draw_frames(layout.scene, controls, frames)
    if layout.matte is not None:
        draw_mattes(layout.scene, layout.matte, controls, mattes)
        frames[..., 3] = mattes[..., 0]


def _parts(window: Motion) -> Iterator[NDArray[np.float32]]:
    """Controls of at most `BATCH` frames at a time."""
    controls = np.array(window.coefficients["controls"], np.float32, order="C")
    return (controls[start : start + BATCH] for start in range(0, len(controls), BATCH))


def _blank(layout: Layout, frames: int) -> Uint8Image:
    """Frames that hold the image at rest. The part outside the mesh is never drawn again."""
    x0, y0, x1, y1 = layout.box
    return np.repeat(layout.background[None, y0:y1, x0:x1], frames, axis=0)


def _blank_mattes(layout: Layout, frames: int) -> NDArray[np.uint8]:
    """Thrice the opacity at rest, for `draw_mattes`; nothing if there is none."""
    if layout.matte is None:
        return np.empty((frames, 0, 0, 3), np.uint8)
    x0, y0, x1, y1 = layout.box
    return np.repeat(np.repeat(layout.background[None, y0:y1, x0:x1, 3:], 3, axis=3), frames, axis=0)


def draw_stills(layout: Layout, controls: NDArray[np.float32]) -> Uint8Image:
    """Draw all frames at once, uint8 (F, h, w, 3), for contact sheets and previews."""
    frames = _blank(layout, len(controls))
    draw_frames(layout.scene, np.array(controls, np.float32, order="C"), frames)
    return frames
