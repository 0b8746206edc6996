"""The form for a GPU draws the original's frames, in float32 on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.sadtalker_weights import noise, picture

torch = pytest.importorskip("torch")

from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer  # noqa: E402

PICTURE = 1e-4
KEYPOINTS = 2e-5


@pytest.mark.slow
def test_the_form_for_a_gpu_draws_the_original_frame(networks: Any, golden: Any) -> None:
    """The second of the two frames that the original rendered, and what leads to it."""
    wanted, second = golden("generator_256"), slice(1, 2)
    source = torch.from_numpy(noise("kp_source", (2, 15, 3), 0.35))
    driving = (source + torch.from_numpy(noise("kp_driving", (2, 15, 3), 0.06)))[second]
    renderer = FaceRenderer(networks.generator, networks.keypoint_detector)
    renderer.run_frames_in(torch.float32, channels_last=True)
    encoded = renderer.encode_source(torch.from_numpy(np.ascontiguousarray(picture(256, 0.9)[None])))
    scene = renderer.scene(encoded.volume, source[second])
    form = renderer.on_gpu
    grid, share = form.motion(form.steps, scene.sources(1), driving)
    assert wanted.error("deformation", grid, second) < KEYPOINTS
    assert wanted.error("occlusion_map", share[:, None], second) < KEYPOINTS
    assert wanted.error("prediction", renderer.render(scene, driving), second) < PICTURE
