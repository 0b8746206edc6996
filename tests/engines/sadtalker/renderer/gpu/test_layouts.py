"""Nothing is copied between layouts or types in the form for a GPU, and little is launched."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.support.launches import Launches  # noqa: E402

from sadtalker_service.engines.sadtalker.networks.generator import Generator  # noqa: E402
from sadtalker_service.engines.sadtalker.networks.keypoint_detector import KeypointDetector  # noqa: E402
from sadtalker_service.engines.sadtalker.renderer.gpu.plain import PlainSteps  # noqa: E402
from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer  # noqa: E402

MOST_COPIES = 10
BEFORE = 720
"""Launches of a batch in the form that the engine had for GPUs until 0.1.0, counted in the same way, with 132
copies among them."""
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def counting_passes(launches: Launches) -> Any:
    """Plain passes, each of which counts as the one kernel that it is on a GPU."""
    return launches.passes(PlainSteps())


def counting_kernels(launches: Launches) -> Any:
    """The kernels themselves."""
    pytest.importorskip("triton", reason="needs Triton: pip install triton")
    from sadtalker_service.engines.sadtalker.renderer.gpu.fused import FusedSteps

    return FusedSteps(launches.kernel)


@pytest.fixture(scope="module", params=[counting_passes, counting_kernels], ids=["passes", "kernels"])
def counted(request: pytest.FixtureRequest) -> Launches:
    """A batch of sixteen frames of 256 in bfloat16, without values."""
    with torch.inference_mode(), torch.device("meta"):
        renderer = FaceRenderer(Generator(), KeypointDetector())
        renderer.run_frames_in(torch.bfloat16, channels_last=True)
        scene = renderer.scene(torch.empty(1, 32, 16, 64, 64, dtype=torch.float16), torch.empty(1, 15, 3))
        launches = Launches()
        renderer.on_gpu.steps = request.param(launches)
        with launches:
            pixels = renderer.pixels(scene, torch.empty(16, 15, 3))
    assert pixels.shape == (16, 256, 256, 3)
    return launches


def test_every_convolution_gets_and_gives_channels_last(counted: Launches) -> None:
    assert len(counted.convolutions) == 56
    for given, found in counted.convolutions:
        assert given.is_contiguous(memory_format=LAST[given.dim()]), given.shape
        assert found.is_contiguous(memory_format=LAST[found.dim()]), found.shape


def test_hardly_anything_is_copied(counted: Launches) -> None:
    assert counted.copies <= MOST_COPIES, counted.by_name


def test_a_third_of_the_launches_is_left(counted: Launches) -> None:
    assert 100 < counted.total <= BEFORE / 3, counted.by_name


def test_copies_are_counted() -> None:
    x, weight, bias = torch.zeros(1, 3, 8, 8), torch.zeros(4, 3, 3, 3), torch.zeros(4)
    with Launches() as launches:
        x = torch.nn.functional.conv2d(x, weight, bias)
        x.permute(0, 2, 3, 1).contiguous().to(torch.bfloat16)[:, 1:] = 1
        x.relu_()
    assert launches.copies == 2
    assert launches.total == 2 + 2 + 1 + 1, "a convolution with a bias, two copies, a fill, a ReLU"
