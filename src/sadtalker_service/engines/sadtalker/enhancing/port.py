"""What an enhancer offers to the engine. Nothing here needs torch."""

from __future__ import annotations

from typing import Protocol

from sadtalker_service.domain import Uint8Image


class FaceEnhancer(Protocol):
    """Restores the squares that the renderer draws, before they are pasted."""

    def side(self, size: int) -> int:
        """Side of what comes out of a square of `size`."""

    def __call__(self, pictures: Uint8Image) -> Uint8Image:
        """uint8 (n, S, S, 3) RGB -> (n, side(S), side(S), 3)."""


class BackgroundEnhancer(Protocol):
    """Sharpens a picture, once per video."""

    def __call__(self, picture: Uint8Image) -> Uint8Image:
        """uint8 (H, W, 3) RGB -> (f H, f W, 3), f a whole number."""
