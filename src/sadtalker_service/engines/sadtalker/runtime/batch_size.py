"""How many frames are drawn at once."""

from __future__ import annotations

import torch

from sadtalker_service.engines.sadtalker.device import DeviceConfig

_ON_CPU = 2
"""A CPU is busy with one; two share what is read of the weights."""
_MOST = 32
"""A GPU is full with fewer; more only delays the first frames and a cancelled job's end."""
_BYTES_PER_VALUE = 1.5e8
"""Of one frame of 256 x 256, per byte of a value: maps that are alive at the same time, generously."""
_SHARE = 0.5
"""Of the memory that is free when the networks are loaded."""


def suggested_batch(device_config: DeviceConfig, size: int) -> int:
    """For pictures of 256 or 512 on this device, by its free memory; at least one."""
    if not device_config.on_gpu:
        return _ON_CPU
    free, _ = torch.cuda.mem_get_info(device_config.device)
    per_frame = _BYTES_PER_VALUE * device_config.dtype.itemsize * (size / 256) ** 2
    return max(1, min(_MOST, int(_SHARE * free / per_frame)))
