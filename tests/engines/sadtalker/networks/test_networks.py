"""The networks give the same results as the original networks for the same weights and inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.sadtalker_weights import noise, picture

torch = pytest.importorskip("torch")

from sadtalker_service.engines.sadtalker.checkpoints.layout import CheckpointFolder  # noqa: E402
from sadtalker_service.engines.sadtalker.checkpoints.loading import load_mapping  # noqa: E402
from sadtalker_service.engines.sadtalker.networks.audio_to_pose import chunk_count, draw_noise  # noqa: E402
from sadtalker_service.engines.sadtalker.networks.fusing import prepare  # noqa: E402
from sadtalker_service.engines.sadtalker.networks.head_pose import HeadMotion, rotation  # noqa: E402
from sadtalker_service.engines.sadtalker.networks.mapping import with_ends_repeated  # noqa: E402

COEFFICIENTS = 1e-5
KEYPOINTS = 2e-5
FORMS: dict[str, Callable[[Any], Any]] = {"trained": lambda network: network, "inference": prepare}

both_forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


def tensor(values: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(values))


@pytest.fixture
def windows() -> Any:
    """45 mel windows."""
    return tensor(np.clip(noise("mel", (45, 1, 80, 16), 2, -1), -4, 4))


@pytest.fixture
def reference() -> Any:
    """(45, 70): expression and pose."""
    return tensor(noise("ref", (45, 70), 0.3))


@both_forms
def test_face_coefficients(form: Any, networks: Any, golden: Any) -> None:
    pictures = tensor(np.stack([picture(224), picture(224, 1.7)]))
    found = form(networks.face_regression)(pictures)
    assert golden("face_3drecon").error("coeff", found) < COEFFICIENTS


@both_forms
def test_expressions_from_audio(form: Any, networks: Any, golden: Any, windows: Any, reference: Any) -> None:
    blink = tensor(np.abs(noise("ratio", (45, 1), 0.5)))
    found = form(networks.audio_to_expression)(windows[:10], reference[:10, :64], blink[:10])
    assert golden("audio_nets").error("audio2exp.exp", found[None]) < COEFFICIENTS


@both_forms
@pytest.mark.parametrize(("frames", "style"), [(45, 3), (33, 0), (45, 45), (20, 7)])
def test_head_motion_from_audio(
    form: Any, frames: int, style: int, networks: Any, golden: Any, windows: Any, reference: Any
) -> None:
    """A full chunk and a remainder, one chunk, and less than one chunk, in several styles."""
    drawn = draw_noise(chunk_count(frames), torch.Generator().manual_seed(1234))
    pose = reference[0, 64:]
    found = form(networks.audio_to_pose)(windows[:frames], pose, style, drawn)
    case, wanted = f"audio2pose.T{frames}.c{style}", golden("audio_nets")
    assert wanted.error(f"{case}.z", drawn) == 0
    assert wanted.error(f"{case}.motion", found[None]) < COEFFICIENTS
    assert wanted.error(f"{case}.pose", (found + pose)[None]) < COEFFICIENTS


def test_single_frame_does_not_move(networks: Any, windows: Any, reference: Any) -> None:
    drawn = draw_noise(chunk_count(1), torch.Generator())
    found = networks.audio_to_pose(windows[:1], reference[0, 64:], 0, drawn)
    assert found.shape == (1, 6)
    assert not found.any()


def test_unknown_pose_style_is_refused(networks: Any, windows: Any, reference: Any) -> None:
    with pytest.raises(ValueError, match=r"46; it must be 0\.\.45"):
        networks.audio_to_pose(windows, reference[0, 64:], 46, draw_noise(2, torch.Generator()))


@both_forms
def test_canonical_keypoints(form: Any, networks: Any, golden: Any) -> None:
    pictures = tensor(np.stack([picture(256), picture(256, 0.9)]))
    found = form(networks.keypoint_detector)(pictures)
    assert golden("kp_extractor").error("kp256", found) < KEYPOINTS


def test_canonical_keypoints_of_a_large_picture(networks: Any, golden: Any) -> None:
    """The original's float32 softmax over 262144 voxels differs from its own float64 result by 2.54e-5."""
    found = prepare(networks.keypoint_detector)(tensor(picture(512)[None]))
    assert golden("kp_extractor").error("kp512", found) < 2.54e-5 + KEYPOINTS / 4


def motion_inputs() -> dict[str, Any]:
    """Windows of 27 frames of coefficients. The last columns are a crop's scale and shift."""
    full = noise("sem73", (3, 73, 27), 0.4)
    full[:, 70:] = np.array([0.9, 1.2, 1.3])[:, None]
    pixels = full.copy()
    pixels[:, 71:] = np.array([128.5, 121.25])[:, None]
    return {"m229": noise("sem70", (3, 70, 27), 0.4), "m109": full, "m109_pixels": pixels}


@pytest.mark.parametrize(
    ("case", "tolerance"),
    [("m229", COEFFICIENTS), ("m109", COEFFICIENTS), ("m109_pixels", 4e-4)],  # its logits are up to 100
)
def test_motion_from_coefficients(case: str, tolerance: float, checkpoints: Path, golden: Any) -> None:
    values = motion_inputs()[case]
    path = CheckpointFolder(checkpoints).mapping(values.shape[1])
    network, wanted = load_mapping(path, values.shape[1]), golden("mapping_pose")
    found = [network(tensor(window)) for window in values]
    names = {"yaw": "yaw", "pitch": "pitch", "roll": "roll", "t": "shift", "exp": "expression"}
    for key, name in names.items():
        assert wanted.error(f"{case}.{key}", torch.cat([getattr(o, name) for o in found])) < tolerance
    if case == "m109_pixels":
        return
    motions = [output.motion() for output in found]
    motion = HeadMotion(*(torch.cat([getattr(m, name) for m in motions]) for name in vars(motions[0])))
    canonical = tensor(noise("canonical", (3, 15, 3), 0.35))
    assert wanted.error(f"{case}.kp", motion.place(canonical)) < KEYPOINTS
    turned = HeadMotion(
        yaw=torch.tensor([20.0, -35.0, 5.0]),
        pitch=torch.tensor([-10.0, 0.0, 15.0]),
        roll=torch.tensor([3.0, -3.0, 12.0]),
        shift=motion.shift,
        expression=motion.expression,
    )
    assert wanted.error(f"{case}.kp_override", turned.place(canonical)) < KEYPOINTS


def test_whole_clip_equals_its_separate_windows(checkpoints: Path) -> None:
    network = load_mapping(CheckpointFolder(checkpoints).mapping(70), 70)
    clip = tensor(noise("clip", (8, 70), 0.4))
    padded = with_ends_repeated(clip)
    at_once = network(padded)
    for name in vars(at_once):
        one_by_one = [getattr(network(padded[:, t : t + 27]), name) for t in range(len(clip))]
        torch.testing.assert_close(getattr(at_once, name), torch.cat(one_by_one), rtol=0, atol=COEFFICIENTS)


def test_rotations(golden: Any) -> None:
    wanted = golden("mapping_pose")
    assert wanted.error("rot.out", rotation(*tensor(wanted["rot.in"]).T)) < 1e-6


def test_head_motion_does_not_depend_on_what_is_added_for_fixed_shapes() -> None:
    """The last chunk is decoded from the last windows of the clip, not from those that are added."""
    from sadtalker_service.bench.sadtalker.subjects import drawn
    from sadtalker_service.engines.sadtalker.networks.audio_to_pose import AudioToPose

    network = prepare(drawn(AudioToPose()))
    for frames in (2, 20, 33, 40):
        windows = tensor(noise("mel", (frames, 1, 80, 16), 2, -1))
        sampled = draw_noise(chunk_count(frames), torch.Generator().manual_seed(0))
        found = network(windows, torch.zeros(6), 3, sampled, 64)
        torch.testing.assert_close(found, network(windows, torch.zeros(6), 3, sampled), rtol=0, atol=1e-5)
