"""Restore faces with a network that was trained on FFHQ images."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import numpy as np
import structlog
import torch
from torch import Tensor
from torch.nn import functional as F

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.enhancing.memory import unless_full
from sadtalker_service.engines.sadtalker.enhancing.port import WHOLE, Window
from sadtalker_service.engines.sadtalker.renderer.renderer import as_pixels
from sadtalker_service.errors import EngineUnavailable

log = structlog.get_logger(__name__)

FaceNetwork = Callable[[Tensor], Tensor]
"""(n, 3, 512, 512) -> the same, RGB in -1..1."""

SIDE = 512
"""Side of the training images."""
_FADE = 0.1
"""Share of the window over which the restored image fades in from the window's border."""


class FaceRestorer:
    """A network for faces of 512 x 512, applied to faces in squares of any side. Thread-safe: threads take
    turns, so memory is that of one batch."""

    def __init__(
        self,
        network: FaceNetwork,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        *,
        at_once: int = 1,
    ) -> None:
        """`dtype`: of the network on its `device`. `at_once`: maximum number of faces per batch, at least
        one."""
        self._network = network
        self._device = device
        self._dtype = dtype
        self._at_once = at_once
        self._lock = threading.Lock()

    def side(self, size: int) -> int:
        """Side of the output for a square of `size`: that of the network, or `size` if it is larger."""
        return max(size, SIDE)

    @torch.inference_mode()
    def __call__(self, pictures: Uint8Image, window: Window = WHOLE) -> Uint8Image:
        """uint8 (n, S, S, 3) RGB -> (n, side(S), side(S), 3), see `FaceEnhancer`.

        Raises `EngineUnavailable` if memory is insufficient even for one face.
        """
        side = self.side(pictures.shape[1])
        out = np.empty((len(pictures), side, side, 3), np.uint8)
        done = 0
        with self._lock:
            while done < len(pictures):
                part = pictures[done : done + self._at_once]
                restored = unless_full(partial(self._restored, part, window, side))
                if restored is None:
                    self._halve(len(part))
                    continue
                out[done : done + len(part)] = restored
                done += len(part)
        return out

    def _restored(self, pictures: Uint8Image, window: Window, side: int) -> Uint8Image:
        values = torch.from_numpy(np.array(pictures, np.uint8, order="C")).to(self._device)
        squares = _scaled(values.permute(0, 3, 1, 2).float() / 255, side, side)
        x0, y0, x1, y1 = (round(share * side) for share in window)
        faces = squares[:, :, _mirrored(y0, y1, side)][:, :, :, _mirrored(x0, x1, side)]
        given = (_scaled(faces, SIDE, SIDE) * 2 - 1).to(self._dtype)
        given = given.contiguous()  # GFPGAN flattens a map in memory order and rejects other layouts
        drawn = (self._network(given).float() + 1).div_(2).clamp_(0, 1)
        drawn = _scaled(drawn, y1 - y0, x1 - x0)
        rows, columns = slice(max(y0, 0), min(y1, side)), slice(max(x0, 0), min(x1, side))
        weight = self._weight(y0, y1, side)[:, None] * self._weight(x0, x1, side)
        shown = drawn[:, :, rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0]
        squares[:, :, rows, columns] = torch.lerp(squares[:, :, rows, columns], shown, weight)
        found: Uint8Image = as_pixels(squares).cpu().numpy()
        return found

    def _weight(self, start: int, stop: int, side: int) -> Tensor:
        """Weight of the restored image, for the pixels of start..stop inside the square: 0 at the ends, 1
        inside. An end at or beyond the border of the square keeps its weight, because there is nothing to
        join."""
        place = torch.arange(max(start, 0), min(stop, side), device=self._device) + 0.5
        band = max(1.0, _FADE * (stop - start))
        before = (place - start) / band if start > 0 else torch.ones_like(place)
        after = (stop - place) / band if stop < side else torch.ones_like(place)
        share = torch.minimum(before, after).clamp(0, 1)
        return share * share * (3 - 2 * share)

    def _halve(self, pictures: int) -> None:
        if pictures == 1:
            raise EngineUnavailable(
                "There is not enough memory to enhance a single face. Use no enhancer, or another device."
            )
        self._at_once = pictures // 2
        log.warning("enhancer_batch_halved", pictures=self._at_once)


def _scaled(pictures: Tensor, height: int, width: int) -> Tensor:
    """(n, 3, h, w) -> (n, 3, height, width), bilinear, averaged when shrinking."""
    if pictures.shape[2:] == (height, width):
        return pictures
    return F.interpolate(pictures, (height, width), mode="bilinear", align_corners=False, antialias=True)


def _mirrored(start: int, stop: int, length: int) -> Tensor:
    """Indices start..stop along an axis of `length`, mirrored at its ends."""
    place = torch.arange(start, stop) % (2 * length)
    return torch.where(place < length, place, 2 * length - 1 - place)
