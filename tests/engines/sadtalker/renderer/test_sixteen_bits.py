"""How much frames drawn in 16 bits differ from the original's in float32."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from tests.support.sadtalker_weights import noise, picture

torch = pytest.importorskip("torch")

from tests.support.wide_convolutions import WideConvolutions  # noqa: E402

from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer  # noqa: E402

log = logging.getLogger(__name__)


def tensor(values: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(values))


BOUNDS = [("bfloat16", 1e-2, 0.15), ("float16", 1.5e-3, 0.03)]
"""Dtype, mean and largest difference of a frame."""


def test_bfloat16_preserves_a_small_frame(networks: Any) -> None:
    """Compared with the same form in float32."""
    precision, mean, largest = BOUNDS[0]
    source = tensor(noise("kp_source", (1, 15, 3), 0.35))
    driving = source + tensor(noise("kp_driving", (1, 15, 3), 0.06))
    small = tensor(picture(128)[None])
    form = FaceRenderer(networks.generator, networks.keypoint_detector)
    scene = form.scene(form.encode_source(small).volume, source)
    wanted = form.render(scene, driving)
    form.run_frames_in(getattr(torch, precision), channels_last=True)
    with WideConvolutions():
        found = form.render(scene, driving)
    errors = (found - wanted).abs()
    log.info("%s: mean %.2g, maximum %.2g", precision, errors.mean(), errors.max())
    assert found.dtype == torch.float32
    assert 1e-4 < errors.mean() < mean
    assert errors.max() < largest


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "mean", "largest"), BOUNDS)
def test_sixteen_bits_preserve_the_frame(
    precision: str, mean: float, largest: float, networks: Any, golden: Any
) -> None:
    """Compared with the original's frames. As on a GPU: channels last, convolutions summed in float32."""
    source = noise("kp_source", (2, 15, 3), 0.35)
    driving = source + noise("kp_driving", (2, 15, 3), 0.06)
    renderer = FaceRenderer(networks.generator, networks.keypoint_detector)
    renderer.run_frames_in(getattr(torch, precision), channels_last=True)
    encoded = renderer.encode_source(tensor(picture(256, 0.9)[None]))
    with WideConvolutions():
        found = renderer.render(renderer.scene(encoded.volume, tensor(source[1:])), tensor(driving[1:]))
    errors = golden("generator_256").errors("prediction", found, slice(1, 2))
    log.info("%s: mean %.2g, maximum %.2g", precision, errors.mean(), errors.max())
    assert found.dtype == torch.float32
    assert errors.mean() < mean
    assert errors.max() < largest
