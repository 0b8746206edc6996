"""The engine's interface to its networks. Arrays in, arrays out. Nothing here needs torch.

F frames. S is 256 or 512. Every method raises `EngineUnavailable` if the networks cannot run.
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
    """The renderer's inputs from an avatar."""

    volume: NDArray[np.float16]
    """float16 (32, 16, S/4, S/4): features of the face, 4 MB at 256."""
    canonical: Float32
    """(15, 3) keypoints in the canonical pose."""
    keypoints: Float32
    """(15, 3) keypoints in the pose of the source image."""


class Networks(Protocol):
    """Networks that run once per avatar or once per video, for one frame size."""

    def regress(self, pictures: Uint8Image) -> Float32:
        """(n, 224, 224, 3) aligned faces -> (n, 257) coefficients of the face model."""

    def encode(self, square: Uint8Image, row: Float32, *, full_frame: bool) -> EncodedFace:
        """Source square (S, S, 3) and its row of coefficients, (73,) if `full_frame`, else (70,)."""

    def expression(self, windows: Float32, reference: Float32, blink: Float32) -> Float32:
        """See `driving.coefficients.ExpressionNetwork`."""

    def pose(self, windows: Float32, source: Float32, *, style: int, seed: int, chunk: int = 0) -> Float32:
        """See `driving.coefficients.PoseNetwork`. `style` is 0..45, `seed` is the seed of the noise."""

    def keypoints(
        self, semantics: Float32, canonical: Float32, view: Mapping[str, Float32], *, full_frame: bool
    ) -> Float32:
        """(F, 73), or (F, 70) unless `full_frame`, of `driving.coefficients.driving_semantics` -> (F, 15, 3).

        `view`: `yaw`, `pitch`, `roll` -> (F,) degrees that replace the predicted angles.
        """


class LoadedEnhancers(Protocol):
    """Enhancers by name. Each loads on first use."""

    def of_faces(self, name: str) -> FaceEnhancer:
        """`gfpgan` or `RestoreFormer`."""

    def of_backgrounds(self, name: str) -> BackgroundEnhancer:
        """`realesrgan`."""


class Inference(Protocol):
    """All networks. Thread-safe."""

    def motion(self, size: int) -> Networks:
        """Networks that run once per avatar or once per video, for frames of 256 or 512."""

    def frames(
        self,
        size: int,
        volume: NDArray[np.float16],
        source: Float32,
        driving: Float32,
        limit: int | None = None,
    ) -> Generator[Uint8Image]:
        """Frames of one video in batches, uint8 (n, S, S, 3) RGB. Closing the generator ends the work.

        volume, source: the volume and the keypoints of an `EncodedFace`. driving: (F, 15, 3) keypoints.
        limit: maximum number of frames of this video per batch.
        """

    def warm_up(self, size: int, *, full_frame: bool) -> None:
        """Load the networks for frames of `size` and do everything that would make a first video slower than
        a second one. `full_frame`: for the modes that show the whole source image."""

    @property
    def enhancers(self) -> LoadedEnhancers:
        """Face and background enhancers on the same device."""


class LocalInference(Inference, Protocol):
    """Networks in this process."""

    @property
    def drawing_seconds(self) -> float:
        """Seconds since the current batch of frames started, or 0 if no batch is being drawn."""
