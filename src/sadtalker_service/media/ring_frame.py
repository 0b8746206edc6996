"""A frame between renderer and encoder that already shows the background."""

from __future__ import annotations

from typing import Literal

import av
import numpy as np

from sadtalker_service.domain import Uint8Image
from sadtalker_service.media.colour import rgb_to_yuv420

PixelFormat = Literal["yuv420p", "yuva420p", "rgba"]


class RingFrame:
    """A frame that shows the background. Its box is overwritten each time."""

    def __init__(self, background: Uint8Image, pixel_format: PixelFormat = "yuv420p") -> None:
        """`background`: uint8 (H, W, 3) RGB, or (H, W, 4) RGBA where the format has alpha."""
        height, width, channels = background.shape
        self.frame = av.VideoFrame(width, height, pixel_format)
        self._channels = channels
        self._planes = [
            np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            for plane in self.frame.planes
        ]
        self.paste(background, (0, 0, width, height))

    def paste(self, picture: Uint8Image, box: tuple[int, int, int, int]) -> None:
        """Write `picture`, uint8 (y1 - y0, x1 - x0, channels of the background), into `box`."""
        x0, y0, x1, y1 = box
        if picture.shape != (y1 - y0, x1 - x0, self._channels):
            raise ValueError(f"a picture of shape {picture.shape} does not fill the box {box}")
        if len(self._planes) == 1:
            self._planes[0][y0:y1, 4 * x0 : 4 * x1] = picture.reshape(y1 - y0, -1)
            return
        y, cb, cr, *alpha = self._planes
        rgb_to_yuv420(np.ascontiguousarray(picture[..., :3]), y, cb, cr, x0, y0)
        for plane in alpha:
            plane[y0:y1, x0:x1] = picture[..., 3]
