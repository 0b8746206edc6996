"""Enhancers load once from their files, and missing parts are reported."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engines.sadtalker.enhancing.conftest import put_package

torch = pytest.importorskip("torch")

from sadtalker_service.engines.sadtalker.device import DeviceConfig  # noqa: E402
from sadtalker_service.engines.sadtalker.enhancing.available import available_enhancers  # noqa: E402
from sadtalker_service.engines.sadtalker.enhancing.enhancers import Enhancers  # noqa: E402
from sadtalker_service.engines.sadtalker.enhancing.loading import load_descriptor  # noqa: E402
from sadtalker_service.errors import EngineUnavailable  # noqa: E402

PLACE = DeviceConfig(torch.device("cpu"), torch.bfloat16)
GREY = np.full((2, 32, 32, 3), 100, np.uint8)


def write(folder: Path, file: str, **tensors: float) -> Path:
    """Write a file of numbers in the format of `torch.save`."""
    torch.save({name: torch.tensor(value) for name, value in tensors.items()}, folder / file)
    return folder


def network_of(enhancer: Any) -> Any:
    return enhancer._network.args[0]


@pytest.mark.usefixtures("stand_in")
class TestWithSpandrel:
    """With a stand-in package that loads files like spandrel."""

    def test_faces_are_restored_with_the_networks_of_the_folder(self, tmp_path: Path) -> None:
        write(tmp_path, "GFPGANv1.4.pth", GFPGAN=0.4)
        write(tmp_path, "RestoreFormer.pth", RestoreFormer=-0.4)
        assert available_enhancers(tmp_path) == ("gfpgan", "RestoreFormer")
        enhancers = Enhancers(tmp_path, PLACE)
        assert (enhancers.of_faces("gfpgan")(GREY) == 151).all()
        assert (enhancers.of_faces("RestoreFormer")(GREY) == 49).all()

    def test_gfpgan_draws_without_fresh_noise_in_full_precision_on_a_cpu(self, tmp_path: Path) -> None:
        gfpgan = Enhancers(write(tmp_path, "GFPGANv1.4.pth", GFPGAN=0.4), PLACE).of_faces("gfpgan")
        gfpgan(GREY[:1])
        calls = network_of(gfpgan).calls
        assert calls == [("torch.float32", {"return_rgb": False, "randomize_noise": False})]

    def test_background_has_the_size_of_the_networks_output(self, tmp_path: Path) -> None:
        enhancers = Enhancers(write(tmp_path, "RealESRGAN_x2plus.pth", ESRGAN=0.2), PLACE)
        found = enhancers.of_backgrounds("realesrgan")(np.full((30, 50, 3), 100, np.uint8))
        assert found.shape == (60, 100, 3)
        assert (found == 151).all()

    def test_concurrent_threads_load_once(self, tmp_path: Path) -> None:
        import spandrel

        enhancers = Enhancers(write(tmp_path, "GFPGANv1.4.pth", GFPGAN=0.4), PLACE)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: enhancers.of_faces("gfpgan"), range(8)))
        assert all(one is found[0] for one in found)
        assert spandrel.ModelLoader.loads == 1

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (torch.float32, (torch.float32, torch.float32, torch.float32)),
            (torch.bfloat16, (torch.bfloat16, torch.float32, torch.bfloat16)),
            (torch.float16, (torch.float32, torch.float32, torch.float16)),
        ],
    )
    def test_half_precision_on_a_gpu_only_for_networks_that_support_it(
        self, tmp_path: Path, wanted: Any, expected: tuple[Any, ...]
    ) -> None:
        enhancers = Enhancers(tmp_path, DeviceConfig(torch.device("cuda"), wanted))
        names = ("GFPGAN", "RestoreFormer", "ESRGAN")
        for name in names:
            write(tmp_path, f"{name}.pth", **{name: 0.0})
        found = [load_descriptor(tmp_path / f"{name}.pth", name, "x") for name in names]
        assert tuple(enhancers._dtype(one) for one in found) == expected

    def test_missing_file_is_named_with_advice(self, tmp_path: Path) -> None:
        with pytest.raises(EngineUnavailable, match=r"GFPGANv1\.4\.pth is missing\. Get it with: .* gfpgan"):
            Enhancers(tmp_path, PLACE).of_faces("gfpgan")

    def test_file_that_is_not_a_checkpoint_is_rejected(self, tmp_path: Path) -> None:
        (tmp_path / "RealESRGAN_x2plus.pth").write_bytes(b"<!DOCTYPE html>")
        with pytest.raises(EngineUnavailable, match=r"x2plus\.pth cannot be read: .* download realesrgan"):
            Enhancers(tmp_path, PLACE).of_backgrounds("realesrgan")

    def test_pickle_that_names_more_than_tensors_is_not_run(self, tmp_path: Path) -> None:
        torch.save({"GFPGAN": Path("/")}, tmp_path / "GFPGANv1.4.pth")
        with pytest.raises(EngineUnavailable, match="cannot be read"):
            Enhancers(tmp_path, PLACE).of_faces("gfpgan")

    def test_file_of_another_network_is_rejected(self, tmp_path: Path) -> None:
        write(tmp_path, "GFPGANv1.4.pth", ESRGAN=0.2)
        with pytest.raises(EngineUnavailable, match="is for ESRGAN, not for GFPGAN"):
            Enhancers(tmp_path, PLACE).of_faces("gfpgan")
        write(tmp_path, "RestoreFormer.pth", anything=0.2)
        with pytest.raises(EngineUnavailable, match="knows no network with such tensors"):
            Enhancers(tmp_path, PLACE).of_faces("RestoreFormer")

    def test_failed_load_is_retried_once_the_file_exists(self, tmp_path: Path) -> None:
        enhancers = Enhancers(tmp_path, PLACE)
        with pytest.raises(EngineUnavailable, match="missing"):
            enhancers.of_faces("gfpgan")
        write(tmp_path, "GFPGANv1.4.pth", GFPGAN=0.4)
        assert enhancers.of_faces("gfpgan").side(256) == 512


def test_background_enhancers_are_not_face_enhancers(tmp_path: Path) -> None:
    enhancers = Enhancers(tmp_path, PLACE)
    with pytest.raises(
        EngineUnavailable, match=r"no enhancer realesrgan for this\. Choose from gfpgan, Rest"
    ):
        enhancers.of_faces("realesrgan")
    with pytest.raises(EngineUnavailable, match=r"no enhancer gfpgan for this\. Choose from realesrgan"):
        enhancers.of_backgrounds("gfpgan")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nowhere_to_be_found", r"need the package nowhere_to_be_found\. Get it with.*\[enhance\]"),
        ("raise RuntimeError('operator nms does not exist')", "nms does not exist.*from the same index"),
        ("raise OSError('libcudart.so: no such file')", "libcudart.*from the same index"),
    ],
)
def test_spandrel_that_cannot_be_loaded_is_explained(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_package(tmp_path / "packages", monkeypatch, "spandrel", text)
    with pytest.raises(EngineUnavailable, match=said):
        Enhancers(write(tmp_path, "GFPGANv1.4.pth", GFPGAN=0.4), PLACE).of_faces("gfpgan")


def test_spandrel_itself_loads_a_file_of_real_esrgan(tmp_path: Path) -> None:
    try:
        from spandrel.architectures.ESRGAN import ESRGAN
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: torchvision for another build
        pytest.skip(f"spandrel cannot be loaded here: {error}")
    torch.manual_seed(0)
    network = ESRGAN(in_nc=12, out_nc=3, num_filters=16, num_blocks=2, scale=4, shuffle_factor=2).eval()
    torch.save({"params_ema": network.state_dict()}, tmp_path / "RealESRGAN_x2plus.pth")
    picture = np.random.default_rng(0).integers(0, 256, (72, 60, 3), np.uint8)
    found = Enhancers(tmp_path, PLACE).of_backgrounds("realesrgan")(picture)
    values = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    expected = (network(values).clamp(0, 1)[0] * 255).round().permute(1, 2, 0).numpy()
    assert found.shape == (144, 120, 3)
    assert np.abs(found - expected).max() <= 1
    assert found.std() > 1
