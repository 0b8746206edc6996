"""The renderer as it is run gives the original's pictures, with less work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.sadtalker_weights import noise, picture

torch = pytest.importorskip("torch")

from sadtalker_service.engines.sadtalker.checkpoints.layout import CheckpointFolder  # noqa: E402
from sadtalker_service.engines.sadtalker.checkpoints.loading import load_mapping  # noqa: E402
from sadtalker_service.engines.sadtalker.multiply_adds import multiply_adds  # noqa: E402
from sadtalker_service.engines.sadtalker.networks.generator import Generator  # noqa: E402
from sadtalker_service.engines.sadtalker.networks.keypoint_detector import KeypointDetector  # noqa: E402
from sadtalker_service.engines.sadtalker.rendering.renderer import (  # noqa: E402
    FaceRenderer,
    as_pixels,
    joined,
)

PICTURE = 1e-4
KEYPOINTS = 2e-5


def tensor(values: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(values))


@pytest.fixture(scope="module")
def keypoints() -> tuple[Any, Any]:
    """(2, 15, 3) of two sources and of a frame of each."""
    source = noise("kp_source", (2, 15, 3), 0.35)
    return tensor(source), tensor(source + noise("kp_driving", (2, 15, 3), 0.06))


@pytest.mark.parametrize(("size", "first"), [(256, 1), (512, 0)])
def test_pictures_and_what_leads_to_them(
    size: int, first: int, renderer: Any, keypoints: Any, golden: Any
) -> None:
    """At 256 the second of two pictures, at 512 the only one."""
    wanted, one = golden(f"generator_{size}"), slice(first, first + 1)
    source, driving = (points[one] for points in keypoints)
    encoded = renderer.encode_source(tensor(picture(size, 0.9 * first)[None]))
    scene = renderer.scene(encoded, source)
    motion = renderer.motion(scene.compressed, scene.keypoints, driving)
    assert wanted.error("deformation", motion.grid, one) < KEYPOINTS
    assert wanted.error("occlusion_map", motion.occlusion, one) < KEYPOINTS
    assert wanted.error("prediction", renderer.render(scene, driving), one) < PICTURE


def test_frame_of_a_whole_run_of_the_original(checkpoints: Path, renderer: Any, golden: Any) -> None:
    """From coefficients to bytes, as the original's own loop ran it: mode `crop`, frame 3 of 4."""
    wanted = golden("e2e_frames")
    network = load_mapping(CheckpointFolder(checkpoints).mapping(70), 70)
    photo = np.round(picture(256) * 255).astype(np.float32) / 255
    encoded = renderer.encode_source(tensor(photo[None]))
    at_rest = network(tensor(np.repeat(wanted["crop4.source"][:, None], 27, 1)))
    source = at_rest.motion().place(encoded.canonical)
    assert wanted.error("crop4.kp_source", source, slice(0, 1)) < KEYPOINTS
    last = network(tensor(wanted["crop4.target"][1, 1])).motion().place(encoded.canonical)
    assert np.abs(last[0].numpy() - wanted["crop4.kp_driving"][1, 1]).max() < KEYPOINTS
    frame = renderer.render(renderer.scene(encoded, source), last)
    assert wanted.error("crop4.frames", frame) < PICTURE
    pixels = as_pixels(frame)[:, ::4, ::4].numpy().astype(int)
    assert pixels.shape == wanted["crop4.ubyte_s4"].shape
    assert np.abs(pixels - wanted["crop4.ubyte_s4"]).max() <= 1
    assert np.mean(pixels != wanted["crop4.ubyte_s4"]) < 1e-3


def test_keypoints_of_mode_full_with_angles(checkpoints: Path, renderer: Any, golden: Any) -> None:
    from dataclasses import replace

    wanted = golden("e2e_frames")
    network = load_mapping(CheckpointFolder(checkpoints).mapping(73), 73)
    photo = np.round(picture(256) * 255).astype(np.float32) / 255
    canonical = renderer.detector(tensor(photo[None]))
    source = network(tensor(np.repeat(wanted["full4_angles.source"][:, None], 27, 1)))
    assert wanted.error("full4_angles.kp_source", source.motion().place(canonical), slice(0, 1)) < KEYPOINTS
    for lane in (0, 1):
        angles = {
            name: tensor(wanted[f"full4_angles.{name}_c_seq"][lane]) for name in ("yaw", "pitch", "roll")
        }
        motion = network(tensor(wanted["full4_angles.target"][lane, 0])).motion()
        found = replace(motion, **angles).place(canonical)
        assert np.abs(found.numpy() - wanted["full4_angles.kp_driving"][lane]).max() < KEYPOINTS


def test_inference_form_equals_the_trained_form(renderer: Any, networks: Any, keypoints: Any) -> None:
    """On two small pictures with a source each; and frames of one source, alone and in a batch."""
    source, driving = keypoints
    pictures = tensor(np.stack([picture(128), picture(128, 0.9)]))
    scenes = [
        renderer.scene(renderer.encode_source(pictures[i : i + 1]), source[i : i + 1]) for i in range(2)
    ]
    found = renderer.render(joined(scenes), driving)
    torch.testing.assert_close(found, networks.generator(pictures, source, driving), rtol=0, atol=PICTURE)
    swapped = renderer.render(joined(scenes).take([1, 0]), driving.flip(0))
    torch.testing.assert_close(swapped, found.flip(0), rtol=0, atol=1e-5)
    shared = renderer.render(scenes[0], torch.stack([driving[0], source[0]]))
    torch.testing.assert_close(shared[:1], found[:1], rtol=0, atol=1e-5)


def test_layout_in_memory_does_not_change_the_picture(networks: Any, renderer: Any, keypoints: Any) -> None:
    source, driving = (points[:1] for points in keypoints)
    other = FaceRenderer(networks.generator, networks.keypoint_detector)
    other.run_frames_in(torch.float32, channels_last=True)
    encoded = renderer.encode_source(tensor(picture(128)[None]))
    found = [r.render(r.scene(encoded, source), driving) for r in (other, renderer)]
    torch.testing.assert_close(*found, rtol=0, atol=PICTURE)


def test_frame_takes_a_quarter_less_work() -> None:
    """Multiply-adds at 256, in units of 1e9; the original's number was counted on the original too."""
    with torch.device("meta"):
        generator, pictures, points = Generator(), torch.empty(1, 3, 256, 256), torch.empty(1, 15, 3)
        renderer_of_nothing = FaceRenderer(Generator(), KeypointDetector())
    original = sum(multiply_adds(lambda: generator(pictures, points, points), {}).values())
    assert original == pytest.approx(601.62e9, rel=1e-4)
    scene = renderer_of_nothing.scene(renderer_of_nothing.encode_source(pictures), points)
    parts = {"motion": renderer_of_nothing.motion, "decoder": renderer_of_nothing.decoder}
    found = multiply_adds(lambda: renderer_of_nothing.render(scene, points), parts)
    assert sum(found.values()) < 456e9
    assert found["motion"] == pytest.approx(101.5e9, rel=1e-3)
    assert found["decoder"] == pytest.approx(348.5e9, rel=1e-3)
