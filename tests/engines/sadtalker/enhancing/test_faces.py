"""Faces are restored in their window, in batches that fit in memory, at the network's output size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sadtalker_service.engines.sadtalker.enhancing.faces import SIDE, FaceRestorer  # noqa: E402
from sadtalker_service.errors import EngineUnavailable  # noqa: E402

CPU = torch.device("cpu")
GREY = np.full((1, 64, 64, 3), 100, np.uint8)


class Brightens(torch.nn.Module):
    """Adds 51 of 255 to every value. Records its inputs, and runs out of memory for too many."""

    def __init__(self, most: int = 1000) -> None:
        super().__init__()
        self.by = torch.nn.Parameter(torch.tensor(0.4))
        self.most = most
        self.given: list[torch.Tensor] = []

    def forward(self, faces):
        if len(faces) > self.most:
            raise torch.OutOfMemoryError("no room")
        self.given.append(faces.clone())
        return faces + self.by


def pictures(count: int, side: int = 64) -> np.ndarray:
    """Images in different shades."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None] * 10, (count, side, side, 3))


@pytest.mark.parametrize(("size", "side"), [(256, 512), (512, 512), (600, 600)])
def test_side_is_the_networks_unless_the_square_is_larger(size: int, side: int) -> None:
    restorer = FaceRestorer(Brightens(), CPU)
    assert restorer.side(size) == side
    found = restorer(np.full((1, size, size, 3), 100, np.uint8))
    assert (found.shape, found.dtype) == ((1, side, side, 3), np.uint8)
    assert (found == 151).all()


def test_network_input_is_512_and_minus_one_to_one() -> None:
    picture = np.zeros((1, 64, 64, 3), np.uint8)
    picture[:, :, 32:] = (255, 51, 0)
    network = Brightens()
    FaceRestorer(network, CPU)(picture)
    (given,) = network.given
    assert given.shape == (1, 3, SIDE, SIDE)
    assert given.is_contiguous()
    torch.testing.assert_close(given[0, :, 0, 0], torch.full((3,), -1.0))
    torch.testing.assert_close(given[0, :, 0, -1], torch.tensor([1.0, -0.6, -1.0]))


def test_colours_outside_the_range_are_clipped() -> None:
    assert (FaceRestorer(Brightens(), CPU)(np.full((1, 64, 64, 3), 240, np.uint8)) == 255).all()


def test_many_pictures_are_restored_in_batches() -> None:
    network = Brightens()
    found = FaceRestorer(network, CPU, at_once=2)(pictures(5))
    assert [len(given) for given in network.given] == [2, 2, 1]
    assert found[:, 7, 9, 1].tolist() == [51, 61, 71, 81, 91]


def test_no_pictures_give_no_pictures() -> None:
    assert FaceRestorer(Brightens(), CPU)(pictures(0)).shape == (0, 512, 512, 3)


def test_batch_is_halved_when_memory_runs_out_and_stays_so() -> None:
    network = Brightens(most=1)
    restorer = FaceRestorer(network, CPU, at_once=4)
    assert restorer(pictures(5))[:, 0, 0, 0].tolist() == [51, 61, 71, 81, 91]
    assert [len(given) for given in network.given] == [1] * 5
    network.most = 4
    restorer(pictures(2))
    assert len(network.given) == 7


def test_too_little_memory_for_one_face_is_an_error() -> None:
    with pytest.raises(EngineUnavailable, match="not enough memory to enhance a single face"):
        FaceRestorer(Brightens(most=0), CPU, at_once=4)(pictures(3))


def test_network_defect_is_not_treated_as_lack_of_memory() -> None:
    def broken(_: object) -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        FaceRestorer(broken, CPU)(GREY)


def test_picture_is_unchanged_outside_the_window() -> None:
    found = FaceRestorer(Brightens(), CPU)(GREY, (0.25, 0.25, 0.75, 0.75))[0, :, :, 0]
    assert (found[:128] == 100).all()
    assert (found[384:] == 100).all()
    assert (found[:, :128] == 100).all()
    assert (found[:, 384:] == 100).all()
    assert (found[160:352, 160:352] == 151).all()


def test_restored_window_fades_in_without_a_jump() -> None:
    found = FaceRestorer(Brightens(), CPU)(GREY, (0.25, 0.25, 0.75, 0.75))[0, 256, :, 0].astype(int)
    steps = np.diff(found)
    assert (steps[:255] >= 0).all()
    assert (steps[256:] <= 0).all()
    assert np.abs(steps).max() <= 4  # 51 within 26 pixels, with at most one and a half times that slope


def test_window_at_the_border_of_the_square_does_not_fade_there() -> None:
    found = FaceRestorer(Brightens(), CPU)(GREY, (0.0, 0.5, 1.0, 1.0))[0, :, :, 0]
    assert (found[320:] == 151).all()
    assert found[256, 0] < 103


def test_network_sees_only_the_window_and_its_output_returns_there() -> None:
    picture = np.zeros((1, 512, 512, 3), np.uint8)
    picture[:, 256:384, 128:256] = 200
    network = Brightens()
    found = FaceRestorer(network, CPU)(picture, (0.25, 0.5, 0.5, 0.75))
    torch.testing.assert_close(network.given[0], torch.full((1, 3, 512, 512), 200 / 255 * 2 - 1))
    assert (found[0, 300:340, 180:220] == 251).all()
    assert (found[0, :256] == 0).all()


def test_window_beyond_the_square_is_mirrored_and_keeps_the_proportions() -> None:
    picture = np.zeros((1, 512, 512, 3), np.uint8)
    picture[:, :64] = 80
    network = Brightens()
    found = FaceRestorer(network, CPU)(picture, (0.0, -0.25, 1.0, 1.0))
    rows = ((network.given[0][0, 0, :, 0] + 1) * 127.5).round()
    # 128 rows are added above: the light ones are at 64 to 192 of 640, which become 512
    assert rows[:50].max() == 0
    assert (rows[54:151] == 80).all()
    assert rows[156:].max() == 0
    assert (found[0, :60] == 131).all()
    assert (found[0, 68:] == 51).all()


def test_small_window_is_averaged_when_pasted_back() -> None:
    """No rows of the network's output are skipped."""

    def stripes(faces):
        drawn = torch.ones_like(faces)
        drawn[:, :, ::4] = -1  # every fourth row is black
        return drawn

    found = FaceRestorer(stripes, CPU)(GREY, (0.25, 0.25, 0.5, 0.5))[0, 160:224, 192, 0]
    assert found.min() > 150
    assert found.max() < 230


def test_equal_pictures_give_equal_results_to_several_threads() -> None:
    restorer = FaceRestorer(Brightens(), CPU, at_once=2)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: restorer(pictures(3), (0.1, 0.1, 0.8, 0.9)), range(8)))
    assert all(np.array_equal(one, found[0]) for one in found)
