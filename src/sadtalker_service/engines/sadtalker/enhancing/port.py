"""What an enhancer offers to the engine. Nothing here needs torch."""

from __future__ import annotations

from typing import Protocol

from sadtalker_service.domain import Uint8Image

Window = tuple[float, float, float, float]
"""x0, y0, x1, y1 in shares of a square's side; where it reaches beyond 0..1 the square is mirrored."""

WHOLE: Window = (0.0, 0.0, 1.0, 1.0)


class FaceEnhancer(Protocol):
    """Restores the squares that the renderer draws, before they are pasted."""

    def side(self, size: int) -> int:
        """Side of what comes out of a square of `size`."""

    def __call__(self, pictures: Uint8Image, window: Window = WHOLE) -> Uint8Image:
        """uint8 (n, S, S, 3) RGB -> (n, side(S), side(S), 3).

        `window`: the part around the face, as `window.face_window` gives it; what lies outside of it is made
        larger and left as it is.
        """


class BackgroundEnhancer(Protocol):
    """Sharpens a picture, once per video."""

    def __call__(self, picture: Uint8Image) -> Uint8Image:
        """uint8 (H, W, 3) RGB -> (f H, f W, 3), f a whole number."""
