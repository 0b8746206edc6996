"""The interface between enhancers and the engine. Nothing here needs torch."""

from __future__ import annotations

from typing import Protocol

from sadtalker_service.domain import Uint8Image

Window = tuple[float, float, float, float]
"""x0, y0, x1, y1 as shares of a square's side. The square is mirrored where the window reaches beyond
0..1."""

WHOLE: Window = (0.0, 0.0, 1.0, 1.0)


class FaceEnhancer(Protocol):
    """Restores the faces in drawn squares before they are pasted."""

    def side(self, size: int) -> int:
        """Side of the output for a square of `size`."""

    def __call__(self, pictures: Uint8Image, window: Window = WHOLE) -> Uint8Image:
        """uint8 (n, S, S, 3) RGB -> (n, side(S), side(S), 3).

        `window`: the part around the face, from `window.face_window`. The rest is only enlarged.
        """


class BackgroundEnhancer(Protocol):
    """Enhances a background, once per video."""

    def __call__(self, picture: Uint8Image) -> Uint8Image:
        """uint8 (H, W, 3) RGB -> (f H, f W, 3), f a whole number."""
