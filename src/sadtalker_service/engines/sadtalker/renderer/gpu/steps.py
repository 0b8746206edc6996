"""What lies between two convolutions, as one pass each.

B frames. N sources. `x` is what a convolution without bias gave, in the dtype of the convolutions. Biases,
keypoints, sums and the compressed source are float32. Every result is computed in float32 and rounded once.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

EPSILON = 1e-5
"""Added to the variance of an instance norm."""
COLOURS = 3


class Sources(NamedTuple):
    """N sources in their own pose, and which of them each of B frames shows."""

    volume: Tensor
    """(N, D, h, w, 32), float16 or float32."""
    compressed: Tensor
    """(N, D, h, w, 4) float32."""
    keypoints: Tensor
    """(N, K, 3) float32."""
    owners: Tensor
    """(B,) int32, 0..N-1."""


class Moments(NamedTuple):
    """Mean and variance of each channel of a map. Only the implementation that made it can read it."""

    values: Tensor


class Steps(Protocol):
    """The passes. Implemented by plain torch (`plain`) and by Triton kernels (`fused`)."""

    def hints(self, sources: Sources, driving: Tensor, like: Tensor) -> Tensor:
        """(B, D, h, w, 5 S) in the dtype of `like`: for each slot the blob, then four moved channels.

        driving: (B, K, 3) keypoints of the frames. Slot 0 does not move and has no blob.
        """

    def pooled(self, x: Tensor, bias: Tensor) -> Tensor:
        """(B, D, H, W, C) -> (B, D, H/2, W/2, C): ReLU, then the mean of 2 x 2."""

    def doubled(self, x: Tensor, bias: Tensor, beside: Tensor) -> Tensor:
        """ReLU of the doubled volume, and `beside` after it: (B, D, 2h, 2w, C + C').

        x: (B, D, h + 1, w + 1, 4 C), see `places`. beside: (B, D, 2h, 2w, C').
        """

    def activated(self, x: Tensor, bias: Tensor, slope: float) -> Tensor:
        """Leaky ReLU of x plus bias. `slope` 0 makes it a ReLU."""

    def deformation(self, x: Tensor, bias: Tensor, sources: Sources, driving: Tensor) -> Tensor:
        """(B, D, h, w, 7 S) products of the planes -> (B, D, h, w, 3) source position of each voxel, float32.

        The logit of slot s at depth d is the sum over t of `x[:, d + t - 3, :, :, S t + s]`.
        """

    def warped(self, sources: Sources, grid: Tensor, like: Tensor) -> Tensor:
        """(B, D, h, w, 3) positions -> the moved source, (B, h, w, 32 D), channel 32 d + c, in `like`'s
        dtype."""

    def visible(self, x: Tensor, bias: Tensor) -> Tensor:
        """(B, h, w, 49 or more) products of the taps -> (B, h, w) share that is visible, float32."""

    def masked(self, x: Tensor, bias: Tensor, share: Tensor) -> Tensor:
        """(x + bias) times (B, h, w)."""

    def split(self, x: Tensor, bias: Tensor, parts: int) -> Tensor:
        """(B, H, W, parts C) -> (parts, B, H, W, C): ReLU."""

    def spread(self, x: Tensor, bias: Tensor, parts: int, times: int) -> Tensor:
        """ReLU of the map enlarged `times` (2 or 4): (parts, B, times h, times w, C).

        x: (B, h + 1, w + 1, 4 parts C) for 2, or 9 parts C for 4, see `places`.
        """

    def added(self, x: Tensor, bias: Tensor, beside: Tensor | None = None) -> tuple[Tensor, Moments]:
        """x + bias + beside, and its moments."""

    def joined(
        self, x: Tensor, bias: Tensor, beside: Tensor, shift: Tensor, slope: float | None
    ) -> tuple[Tensor, Moments]:
        """x + bias + beside + the last channels of `shift`, then a leaky ReLU unless `slope` is None. The
        moments are those of the result."""

    def moments(self, x: Tensor) -> Moments:
        """The moments of a map."""

    def modulated(
        self, x: Tensor, moments: Moments, modulation: Tensor, bias: Tensor, slope: float, times: int = 1
    ) -> Tensor:
        """Leaky ReLU of norm(x) scale + shift, at the size of `modulation`: (B, H, W, C).

        x: (B, H / times, W / times, C). modulation: (B, H, W, 2 C), scale before shift. bias: (2 C,).
        """

    def scaled(self, x: Tensor, moments: Moments, modulation: Tensor, bias: Tensor, times: int = 1) -> Tensor:
        """norm(x) scale. modulation: (B, H, W, C or more), scale first. bias: (C,)."""

    def colours(self, x: Tensor, bias: Tensor) -> Tensor:
        """(B, H, W, 3 or more) -> (B, 3, H, W) sigmoid, float32."""

    def pixels(self, x: Tensor, bias: Tensor) -> Tensor:
        """(B, H, W, 3 or more) -> (B, H, W, 3) uint8, rounded to the nearest."""


def places(times: int) -> int:
    """Number of different outputs of a cell along one axis, if its map is enlarged 2 or 4 times.

    The convolution of an enlarged map (`networks.upsampled`) is one convolution of the small map with 2 x 2
    cells, whose channels are ordered by place: row, column, feature. Its result has one row and one column
    more than the map. The last place of cell i stands at i + 1, all others at i. Enlarged four times, the two
    places in the middle are equal, so there are three.
    """
    return {2: 2, 4: 3}[times]
