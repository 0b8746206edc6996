"""Burn captions into the frames of a rendering."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sadtalker_service.domain import Rendering, Uint8Image
from sadtalker_service.media.cues import Cue

Float32 = NDArray[np.float32]

_HEIGHT_OF_TEXT = 0.055
"""Of the height of the picture."""
_MARGIN = 0.05
"""Under the last line, of the height of the picture."""
_WIDEST = 0.92
"""Of the width of the picture."""


def burn_in(rendering: Rendering, cues: Sequence[Cue]) -> Rendering:
    """A rendering with the captions in its frames, white with a black edge at the bottom of the picture."""
    pictures = [_picture(cue, rendering.background.shape[1], rendering.background.shape[0]) for cue in cues]
    if not pictures:
        return rendering
    top = min(picture[0] for picture in pictures)
    height, width = rendering.background.shape[:2]
    _, y0, _, y1 = rendering.box
    box = (0, min(y0, top - top % 2), width, height)
    if box[1] >= y1:  # the captions lie under what moves: all in between belongs to the box now
        box = (0, y0, width, height)
    return replace(rendering, box=box, batches=_frames(rendering, box, cues, pictures))


def _frames(
    rendering: Rendering,
    box: tuple[int, int, int, int],
    cues: Sequence[Cue],
    pictures: Sequence[tuple[int, Float32, Float32]],
) -> Iterator[Uint8Image]:
    x0, y0, x1, y1 = rendering.box
    left, upper, right, lower = box
    still = rendering.background[upper:lower, left:right]
    number = 0
    for batch in rendering.batches:
        frames = np.repeat(still[None], len(batch), axis=0)
        frames[:, y0 - upper : y1 - upper, x0 - left : x1 - left] = batch
        for frame in frames:
            at = (number + 0.5) / rendering.fps
            number += 1
            for cue, (top, colour, alpha) in zip(cues, pictures, strict=True):
                if cue.start <= at < cue.end:
                    part = frame[top - upper : top - upper + len(alpha)]
                    part[:] = _over(part, colour, alpha)
        yield frames


def _over(part: Uint8Image, colour: Float32, alpha: Float32) -> Uint8Image:
    """A caption over RGB, or over RGBA that may be transparent."""
    if part.shape[2] == 3:
        mixed = part * (1.0 - alpha) + colour * alpha
    else:
        below = part[..., 3:] / np.float32(255) * (1.0 - alpha)
        opaque = below + alpha
        shown = (part[..., :3] * below + colour * alpha) / np.maximum(opaque, 1e-6)
        mixed = np.concatenate([np.where(opaque > 0, shown, part[..., :3]), 255.0 * opaque], axis=2)
    rounded: Uint8Image = np.rint(mixed).astype(np.uint8)
    return rounded


def _picture(cue: Cue, width: int, height: int) -> tuple[int, Float32, Float32]:
    """First row of a caption, its colours float32 (h, width, 3) 0..255, and alpha float32 (h, width, 1)."""
    text = "\n".join(cue.lines)
    size = max(8, round(height * _HEIGHT_OF_TEXT))
    font = ImageFont.load_default(size)
    probe = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    while size > 8 and probe.multiline_textbbox((0, 0), text, font)[2] > width * _WIDEST:
        size -= 1
        font = ImageFont.load_default(size)
    edge = max(1, size // 10)
    box = probe.multiline_textbbox((0, 0), text, font, stroke_width=edge, align="center")
    rows = int(box[3] - box[1]) + 2 * edge
    layer = Image.new("RGBA", (width, rows), (0, 0, 0, 0))
    place = ((width - (box[2] - box[0])) / 2 - box[0], edge - box[1])
    ImageDraw.Draw(layer).multiline_text(
        place, text, "white", font, align="center", stroke_width=edge, stroke_fill="black"
    )
    pixels = np.asarray(layer, np.float32)
    top = max(0, height - rows - round(height * _MARGIN))
    return top, pixels[..., :3], pixels[..., 3:] / 255.0
