"""Images are enlarged tile by tile without visible tile borders."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from sadtalker_service.engines.sadtalker.enhancing.backgrounds import TiledUpscaler  # noqa: E402
from sadtalker_service.errors import EngineUnavailable  # noqa: E402

CPU = torch.device("cpu")


class Doubles(torch.nn.Module):
    """Doubles the size after a blur that reaches as far as the margin of a tile."""

    def __init__(self, most: int = 10**9) -> None:
        super().__init__()
        self.blur = torch.nn.Conv2d(3, 3, 33, padding=16, groups=3, bias=False)
        torch.nn.init.constant_(self.blur.weight, 1 / 33**2)
        self.most = most
        self.largest = 0

    def forward(self, pictures):
        pixels = pictures.shape[2] * pictures.shape[3]
        if pixels > self.most:
            raise torch.OutOfMemoryError("no room")
        self.largest = max(self.largest, pixels)
        return self.blur(pictures).repeat_interleave(2, 2).repeat_interleave(2, 3)


def picture(height: int = 203, width: int = 310) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def whole(network: Doubles, pixels: np.ndarray) -> np.ndarray:
    """The image processed in one piece."""
    values = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    return (network(values)[0] * 255).round().permute(1, 2, 0).numpy()


def test_tiles_join_without_a_seam() -> None:
    network, pixels = Doubles(), picture()
    expected = whole(network, pixels)
    network.largest = 0
    found = TiledUpscaler(network, 2, CPU, tile=64)(pixels)
    assert found.dtype == np.uint8
    assert network.largest <= 96 * 96
    assert found.shape == (406, 620, 3)
    assert np.abs(found - expected).max() <= 1  # summed in another order


def test_picture_of_one_colour_keeps_its_colour() -> None:
    def enlarged(pictures):
        return F.interpolate(pictures, scale_factor=3.0)

    found = TiledUpscaler(enlarged, 3, CPU, tile=64)(np.full((65, 3, 3), (7, 130, 255), np.uint8))
    assert found.shape == (195, 9, 3)
    assert (found == (7, 130, 255)).all()


def test_tiles_are_halved_when_memory_runs_out_and_stay_so() -> None:
    network, pixels = Doubles(most=100 * 100), picture()
    upscale = TiledUpscaler(network, 2, CPU, tile=256)
    first = upscale(pixels)
    assert network.largest == 96 * 96  # 64 plus the margin
    network.most = 10**9
    assert np.array_equal(upscale(pixels), first)
    assert network.largest == 96 * 96
    assert np.abs(first - whole(network, pixels)).max() <= 1


def test_too_little_memory_for_the_smallest_tile_is_an_error() -> None:
    with pytest.raises(EngineUnavailable, match="not enough memory to enhance a picture in tiles of 64"):
        TiledUpscaler(Doubles(most=50), 2, CPU, tile=256)(picture())
