"""Enlarge and sharpen images tile by tile, so that memory does not grow with the image."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import structlog
import torch
from torch import Tensor

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.enhancing.memory import unless_full
from sadtalker_service.engines.sadtalker.renderer.renderer import as_pixels
from sadtalker_service.errors import EngineUnavailable

log = structlog.get_logger(__name__)

Upscaling = Callable[[Tensor], Tensor]
"""(1, 3, h, w) -> (1, 3, f h, f w), RGB in 0..1."""

_MARGIN = 16
"""Pixels around a tile that the network also sees, so that no tile borders are visible. A multiple of four,
like the tiles. Real-ESRGAN merges 2 x 2 pixels into one, and this way always the same ones."""
_SMALLEST = 64
"""Smaller tiles cost more for their margin than for themselves."""

Span = tuple[int, int]


class TiledUpscaler:
    """A network that enlarges images. Thread-safe: threads take turns."""

    def __init__(
        self,
        network: Upscaling,
        factor: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        *,
        tile: int = 256,
    ) -> None:
        """`factor`: scale factor of the network, a whole number. `tile`: side in pixels, a multiple of
        four."""
        self._network = network
        self._factor = factor
        self._device = device
        self._dtype = dtype
        self._tile = tile
        self._lock = threading.Lock()

    @torch.inference_mode()
    def __call__(self, picture: Uint8Image) -> Uint8Image:
        """uint8 (H, W, 3) RGB -> (f H, f W, 3).

        Raises `EngineUnavailable` if memory is insufficient even for small tiles.
        """
        with self._lock:
            while (larger := unless_full(partial(self._enlarged, picture))) is None:
                self._halve()
        return larger

    def _enlarged(self, picture: Uint8Image) -> Uint8Image:
        height, width = picture.shape[:2]
        out = np.empty((height * self._factor, width * self._factor, 3), np.uint8)
        for top, bottom in _spans(height, self._tile):
            for left, right in _spans(width, self._tile):
                rows = slice(top * self._factor, bottom * self._factor)
                columns = slice(left * self._factor, right * self._factor)
                out[rows, columns] = self._tile_of(picture, (top, bottom), (left, right))
        return out

    def _tile_of(self, picture: Uint8Image, rows: Span, columns: Span) -> Uint8Image:
        top, left = max(rows[0] - _MARGIN, 0), max(columns[0] - _MARGIN, 0)
        seen = picture[top : rows[1] + _MARGIN, left : columns[1] + _MARGIN]
        values = torch.from_numpy(np.array(seen, np.uint8, order="C")).to(self._device)
        given = (values.permute(2, 0, 1)[None].float() / 255).to(self._dtype)
        y0, y1 = ((place - top) * self._factor for place in rows)
        x0, x1 = ((place - left) * self._factor for place in columns)
        drawn = as_pixels(self._network(given)[:, :, y0:y1, x0:x1].float())
        pixels: Uint8Image = drawn[0].cpu().numpy()
        return pixels

    def _halve(self) -> None:
        if self._tile // 2 < _SMALLEST:
            raise EngineUnavailable(
                f"There is not enough memory to enhance a picture in tiles of {self._tile} pixels."
                " Use another device, or no background enhancer."
            )
        self._tile = self._tile // 2 // 4 * 4
        log.warning("enhancer_tile_halved", pixels=self._tile)


def _spans(length: int, step: int) -> Iterator[Span]:
    return ((start, min(start + step, length)) for start in range(0, length, step))
