"""How a batch of frames is drawn: at once, or on a GPU beside the work for the batch before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.renderer.renderer import (
    FaceRenderer,
    Scene,
    as_pixels,
    joined,
)

Finish = Callable[[], Uint8Image]
"""Waits for a batch: uint8 (n, S, S, 3)."""


class Part(NamedTuple):
    """Frames of one video in a batch."""

    scene: Scene
    """With one source."""
    driving: Tensor
    """(n, 15, 3)"""


class Drawer(Protocol):
    """Draws batches, one after the other."""

    overlaps: bool
    """Whether the next batch can be begun before the last one is finished."""

    def fit(self, wanted: int) -> int:
        """Number of frames to draw next, 1..wanted, if `wanted` could be drawn."""

    def begin(self, parts: Sequence[Part]) -> Finish:
        """Begin a batch with the frames of `parts`, one part after the other."""


class DirectDrawer:
    """Draws at once, with any renderer."""

    overlaps = False

    def __init__(self, renderer: FaceRenderer, padded_to: Callable[[], int] | None = None) -> None:
        """`padded_to`: always draw so many frames, for a renderer compiled for that size."""
        self._renderer = renderer
        self._padded_to = padded_to or (lambda: 0)

    def fit(self, wanted: int) -> int:
        """See `Drawer`."""
        return wanted

    def begin(self, parts: Sequence[Part]) -> Finish:
        """See `Drawer`."""
        driving = torch.cat([part.driving for part in parts])
        frames = len(driving)
        missing = max(0, self._padded_to() - frames)
        if missing:
            driving = torch.cat([driving, driving[-1:].expand(missing, -1, -1)])
        scene = parts[0].scene
        if len(parts) > 1:
            owners = [number for number, part in enumerate(parts) for _ in part.driving]
            owners += owners[-1:] * missing
            scene = joined([part.scene for part in parts]).take(owners)
        pictures: Uint8Image = as_pixels(self._renderer.render(scene, driving))[:frames].cpu().numpy()
        return lambda: pictures


def divided(wants: list[int], room: int) -> list[int]:
    """Divide `room` places among the videos, as evenly as their `wants` allow."""
    shares = [0] * len(wants)
    left = room
    while left and any(share < want for share, want in zip(shares, wants, strict=True)):
        open_ = [k for k, want in enumerate(wants) if shares[k] < want]
        each = max(1, left // len(open_))
        for k in open_:
            more = min(each, wants[k] - shares[k], left)
            shares[k] += more
            left -= more
    return shares
