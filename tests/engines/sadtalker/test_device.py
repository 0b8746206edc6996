"""The choice of device, dtype and batch size for simulated GPUs. Needs no real GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from sadtalker_service.engines.sadtalker.device import DeviceConfig, choose_device  # noqa: E402
from sadtalker_service.engines.sadtalker.engine import SadTalkerEngine  # noqa: E402
from sadtalker_service.engines.sadtalker.runtime.batch_size import suggested_batch  # noqa: E402
from sadtalker_service.engines.sadtalker.runtime.models import Models  # noqa: E402
from sadtalker_service.errors import EngineUnavailable  # noqa: E402
from sadtalker_service.settings import Settings  # noqa: E402

GB = 1_000_000_000


class Gpus:
    """Simulated answers of torch about GPUs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.are(0)

    def are(self, count: int, capability: tuple[int, int] = (8, 0), free: int = 0) -> None:
        """Simulate `count` GPUs of this kind, with `free` free bytes."""
        said: dict[str, Any] = {
            "is_available": count > 0,
            "device_count": count,
            "get_device_capability": capability,
            "mem_get_info": (free, 2 * free),
        }
        for name, value in said.items():
            self._patch.setattr(torch.cuda, name, lambda *_, value=value: value)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Gpus:
    return Gpus(monkeypatch)


def place(dtype: Any, device: str = "cuda:0") -> DeviceConfig:
    return DeviceConfig(torch.device(device), dtype)


@pytest.mark.parametrize(
    ("count", "capability", "device", "precision", "wanted"),
    [
        (0, (0, 0), "auto", "auto", ("cpu", "float32")),
        (0, (0, 0), "cpu", "bfloat16", ("cpu", "bfloat16")),
        (1, (9, 0), "auto", "auto", ("cuda:0", "bfloat16")),
        (1, (8, 0), "cuda", "auto", ("cuda", "bfloat16")),
        (1, (7, 5), "auto", "auto", ("cuda:0", "float32")),
        (1, (7, 5), "auto", "float16", ("cuda:0", "float16")),
        (2, (9, 0), "cuda:1", "auto", ("cuda:1", "bfloat16")),
        (1, (9, 0), "cpu", "auto", ("cpu", "float32")),
    ],
)
def test_the_best_dtype_of_the_device_is_chosen(
    gpus: Gpus, count: int, capability: tuple[int, int], device: str, precision: str, wanted: tuple[str, str]
) -> None:
    gpus.are(count, capability)
    assert choose_device(device, precision) == place(getattr(torch, wanted[1]), wanted[0])


@pytest.mark.parametrize(("count", "device"), [(0, "cuda"), (1, "cuda:1")])
def test_a_missing_gpu_is_an_error(gpus: Gpus, count: int, device: str) -> None:
    gpus.are(count)
    with pytest.raises(EngineUnavailable, match=rf"SADTALKER_DEVICE is {device}, .* sees {count} GPUs"):
        choose_device(device, "auto")


@pytest.mark.parametrize(
    ("free", "precision", "size", "frames"),
    [
        (6 * GB, "bfloat16", 256, 10),  # half of the memory, 0.3 GB each
        (6 * GB, "float32", 256, 5),
        (6 * GB, "bfloat16", 512, 2),
        (80 * GB, "bfloat16", 256, 32),  # this many fill a GPU
        (GB // 10, "float32", 512, 1),
    ],
)
def test_batches_fit_free_memory(gpus: Gpus, free: int, precision: str, size: int, frames: int) -> None:
    gpus.are(1, free=free)
    assert suggested_batch(place(getattr(torch, precision)), size) == frames
    assert suggested_batch(place(torch.float32, "cpu"), size) == 2


def test_a_gpu_computes_float32_in_float32(tmp_path: Path) -> None:
    """Otherwise keypoints would have ten bits."""
    before = torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = True
        Models(tmp_path, place(torch.float32, "cpu"))
        assert torch.backends.cudnn.allow_tf32
        Models(tmp_path, place(torch.bfloat16))
        assert not torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    ("device", "setting", "driver", "tried"),
    [
        ("auto", "auto", False, None),
        ("auto", "auto", True, "0"),
        ("cuda:1", "auto", True, "1"),
        ("cpu", "auto", True, None),
        ("auto", "x264", True, None),
        ("cpu", "nvenc", False, "0"),
    ],
)
def test_nvenc_is_tried_once_where_the_networks_run_on_a_gpu(
    device: str,
    setting: Any,
    driver: bool,
    tried: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def works(encoder: Any) -> Any:
        asked.append(encoder.options["medium"]["gpu"])
        return encoder

    monkeypatch.setattr("sadtalker_service.engines.sadtalker.engine.usable_encoder", works)
    monkeypatch.setattr(
        "sadtalker_service.engines.sadtalker.engine._NVIDIA_DRIVER", tmp_path if driver else tmp_path / "none"
    )
    engine = SadTalkerEngine(
        Settings(sadtalker_checkpoints_path=tmp_path, sadtalker_device=device, sadtalker_encoder=setting)
    )
    names = {engine.video_encoder.name for _ in range(2)}
    assert names == {"libx264" if tried is None else "h264_nvenc"}
    assert asked == ([] if tried is None else [tried])
