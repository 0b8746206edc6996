"""Render motion to frames, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Avatar, Motion, Rendering, Uint8Image
from sadtalker_service.engines.mesh.framing import framed, window_of
from sadtalker_service.engines.mesh.kernels.frame import draw_frames, draw_mattes
from sadtalker_service.engines.mesh.layout import Layout, lay_out
from sadtalker_service.media.backdrop import laid_over
from sadtalker_service.options import RenderOptions

BATCH = 8
"""Frames drawn per call without the GIL. A cancelled job stops after at most one batch."""


def render(avatar: Avatar, motion: Iterator[Motion], style: RenderOptions) -> Rendering:
    """Render the video of a motion. Memory holds one batch of frames, whatever the length."""
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
    """Yield batches, each drawn by two threads. Together with the encoder they keep two cores busy."""
    buffer, mattes = _blank(layout, BATCH), _blank_mattes(layout, BATCH)
    with ThreadPoolExecutor(1, thread_name_prefix="draw") as second:
        for part in _controls(motion):
            batch = buffer[: len(part)]
            half = len(part) // 2
            other = second.submit(_draw, layout, part[half:], batch[half:], mattes[half:])
            _draw(layout, part[:half], batch[:half], mattes)
            other.result()
            yield batch


def _draw(
    layout: Layout, controls: NDArray[np.float32], frames: Uint8Image, mattes: NDArray[np.uint8]
) -> None:
    """Draw frames, and their opacity if the person is cut out."""
    draw_frames(layout.scene, controls, frames)
    if layout.matte is not None:
        mattes = mattes[: len(frames)]
        draw_mattes(layout.scene, layout.matte, controls, mattes)
        frames[..., 3] = mattes[..., 0]


def _controls(motion: Iterator[Motion]) -> Iterator[NDArray[np.float32]]:
    """Controls of at most `BATCH` frames at a time, without waiting for motion that is not there yet."""
    for window in motion:
        controls = np.array(window.coefficients["controls"], np.float32, order="C")
        yield from (controls[start : start + BATCH] for start in range(0, len(controls), BATCH))


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
