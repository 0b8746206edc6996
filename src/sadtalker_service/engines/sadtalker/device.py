"""The device that the networks run on, and their number format."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sadtalker_service.errors import EngineUnavailable

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class DeviceConfig:
    """A device, and the dtype of the convolutions that run for every frame."""

    device: torch.device
    dtype: torch.dtype

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"


def choose_device(device: str, precision: str) -> DeviceConfig:
    """Resolve the settings `SADTALKER_DEVICE` and `SADTALKER_PRECISION` on this machine.

    Raises `EngineUnavailable` if the GPU does not exist.
    """
    chosen = _device(device)
    if precision != "auto":
        return DeviceConfig(chosen, _TYPES[precision])
    fast = chosen.type == "cuda" and torch.cuda.get_device_capability(chosen)[0] >= 8  # Ampere and later
    return DeviceConfig(chosen, torch.bfloat16 if fast else torch.float32)


def has_gpu() -> bool:
    """Whether torch can use a GPU."""
    return torch.cuda.is_available()


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda:0" if has_gpu() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if has_gpu() else 0
        if (device.index or 0) >= count:
            raise EngineUnavailable(
                f"SADTALKER_DEVICE is {name}, but torch {torch.__version__} sees {count} GPUs here. Install a"
                " build of torch for this GPU and its driver, or set SADTALKER_DEVICE=cpu."
            )
    return device
