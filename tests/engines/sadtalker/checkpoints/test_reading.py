"""Checkpoint files are read completely, or rejected with their name and the reason."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.support.sadtalker_weights import MAPPING, NETWORKS, fingerprint, official_tensors, weights

from sadtalker_service.errors import EngineUnavailable

torch = pytest.importorskip("torch")

from sadtalker_service.engines.sadtalker.checkpoints.layout import CheckpointFolder  # noqa: E402
from sadtalker_service.engines.sadtalker.checkpoints.loading import load_mapping, load_networks  # noqa: E402


@pytest.mark.parametrize("network", ["face_3drecon", "audio2exp", "audio2pose", *MAPPING.values()])
def test_synthetic_weights_are_those_the_original_was_measured_with(network: str) -> None:
    tensors = weights(network)
    values = [value.astype(np.float64) for value in tensors.values()]
    count, total, squares = fingerprint(network)
    assert sum(value.size for value in values) == count
    assert sum(value.sum() for value in values) == pytest.approx(total, rel=1e-9)
    assert sum((value**2).sum() for value in values) == pytest.approx(squares, rel=1e-9)


def test_official_file_is_read_completely(networks: Any) -> None:
    read = {
        "face_3drecon": networks.face_regression,
        "audio2exp": networks.audio_to_expression,
        "audio2pose": networks.audio_to_pose,
        "kp_extractor": networks.keypoint_detector,
        "generator": networks.generator,
    }
    assert set(read) == set(NETWORKS)
    for name, network in read.items():
        official = {key: tensor.shape for key, tensor in official_tensors(name).items()}
        unused = {key for key in official if key.startswith(("netG.encoder.", "netD_motion."))}
        found = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
        assert found == {key: shape for key, shape in official.items() if key not in unused}
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_file_with_other_content_is_rejected_with_the_fault(tmp_path: Path) -> None:
    path = tmp_path / "SadTalker_V0.0.2_256.safetensors"
    shape = (64, 3, 3, 3)
    save_file(
        {
            "face_3drecon.backbone.conv1.weight": np.zeros(shape, np.float32),
            "face_3drecon.something": np.zeros(1, np.float32),
        },
        path,
    )
    with pytest.raises(EngineUnavailable) as refused:
        load_networks(path)
    message = str(refused.value)
    assert str(path) in message
    assert "missing (backbone.bn1.weight" in message
    assert "1 unknown (something)" in message
    assert "backbone.conv1.weight is (64, 3, 3, 3), not (64, 3, 7, 7)" in message


def test_truncated_files_are_rejected(checkpoints: Path, tmp_path: Path) -> None:
    whole = CheckpointFolder(checkpoints)
    flat, pickled = tmp_path / "flat.safetensors", tmp_path / "mapping.pth.tar"
    with whole.networks(256).open("rb") as file:
        flat.write_bytes(file.read(1_000_000))
    pickled.write_bytes(whole.mapping(70).read_bytes()[:1_000_000])
    with pytest.raises(EngineUnavailable, match=r"flat\.safetensors cannot be read"):
        load_networks(flat)
    with pytest.raises(EngineUnavailable, match=r"mapping\.pth\.tar cannot be read"):
        load_mapping(pickled, 70)


def test_mapping_of_the_other_mode_is_rejected(checkpoints: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"first\.0\.weight is \(1024, 73, 7\), not \(1024, 70, 7\)"):
        load_mapping(CheckpointFolder(checkpoints).mapping(73), 70)


class _Harmful:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("harmed",)


def test_pickle_that_runs_code_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"mapping": _Harmful()}, "new.pth.tar")
    Path("old.pth.tar").write_bytes(pickle.dumps({"mapping": _Harmful()}))
    for name in ("new.pth.tar", "old.pth.tar"):
        with pytest.raises(EngineUnavailable, match="cannot be read"):
            load_mapping(Path(name), 70)
    assert not Path("harmed").exists()


def test_pickle_without_a_mapping_is_rejected(tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "other.pth")
    with pytest.raises(EngineUnavailable, match="no entry 'mapping'"):
        load_mapping(tmp_path / "other.pth", 70)


def test_checkpoint_of_the_first_release_is_rejected_with_advice(tmp_path: Path) -> None:
    for name in ("epoch_20.pth", "facevid2vid_00189-model.pth.tar"):
        (tmp_path / name).touch()
        with pytest.raises(EngineUnavailable, match=r"first release.*sadtalker models download"):
            load_networks(tmp_path / name)
    with pytest.raises(EngineUnavailable, match=r"missing\. .*epoch_20\.pth.* first release"):
        CheckpointFolder(tmp_path).networks(256)


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"SadTalker_V0\.0\.2_512\.safetensors is missing"):
        CheckpointFolder(tmp_path).networks(512)
    with pytest.raises(EngineUnavailable, match="only for 256 and 512"):
        CheckpointFolder(tmp_path).networks(300)
