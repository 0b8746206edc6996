"""What the engine asks of its networks. Arrays in, arrays out; nothing here needs torch.

F frames; S is 256 or 512. Every method raises `EngineUnavailable` where the networks cannot be run.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.enhancing.port import BackgroundEnhancer, FaceEnhancer

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class EncodedFace:
    """What the renderer needs of an avatar."""

    volume: NDArray[np.float16]
    """(32, 16, S/4, S/4): the face as the networks see it; 4 MB at 256. In 16 bits."""
    canonical: Float32
    """(15, 3) keypoints in the canonical pose."""
    keypoints: Float32
    """(15, 3) keypoints in the pose of the portrait."""


class Networks(Protocol):
    """Those that run once per avatar or once per video, for pictures of one size."""

    def regress(self, pictures: Uint8Image) -> Float32:
        """(n, 224, 224, 3) aligned faces -> (n, 257) coefficients of the face model."""

    def encode(self, square: Uint8Image, row: Float32, *, full_frame: bool) -> EncodedFace:
        """A portrait's square (S, S, 3) and its row of coefficients, (73,) if `placed`, else (70,)."""

    def expression(self, windows: Float32, reference: Float32, blink: Float32) -> Float32:
        """See `driving.coefficients.ExpressionNetwork`."""

    def pose(self, windows: Float32, source: Float32, *, style: int, seed: int) -> Float32:
        """See `driving.coefficients.PoseNetwork`; `style` 0..45, `seed` that of the noise."""

    def keypoints(
        self, semantics: Float32, canonical: Float32, view: Mapping[str, Float32], *, full_frame: bool
    ) -> Float32:
        """(F, 73), or (F, 70) if not `placed`, of `driving.coefficients.driving_semantics` -> (F, 15, 3).

        `view`: `yaw`, `pitch`, `roll` -> (F,) degrees in place of those that are found.
        """


class LoadedEnhancers(Protocol):
    """Enhancers by name, each loaded when it is first used."""

    def of_faces(self, name: str) -> FaceEnhancer:
        """`gfpgan` or `RestoreFormer`."""

    def of_backgrounds(self, name: str) -> BackgroundEnhancer:
        """`realesrgan`."""


class Inference(Protocol):
    """All networks. For several threads."""

    def motion(self, size: int) -> Networks:
        """Those that run once per avatar or video, for pictures of 256 or 512."""

    def frames(
        self,
        size: int,
        volume: NDArray[np.float16],
        source: Float32,
        driving: Float32,
        limit: int | None = None,
    ) -> Generator[Uint8Image]:
        """Frames of one video, uint8 (n, S, S, 3) RGB at a time. Closing the generator ends the work.

        volume, source: of `EncodedFace`, the latter its keypoints. driving: (F, 15, 3) keypoints. limit: most
        frames of this video that are drawn at once.
        """

    def warm_up(self, size: int, *, full_frame: bool) -> None:
        """Load the networks for pictures of `size`, and do all that would make a first video slower than a
        second one. `placed`: for the modes that show the whole picture."""

    @property
    def enhancers(self) -> LoadedEnhancers:
        """What restores faces and backgrounds, on the same device."""


class LocalInference(Inference, Protocol):
    """Networks in this process."""

    @property
    def drawing_seconds(self) -> float:
        """How long the batch of frames has taken so far that is being drawn; 0 while none is."""
