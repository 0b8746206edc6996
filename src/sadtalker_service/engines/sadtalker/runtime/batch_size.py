"""The number of frames drawn at once."""

from __future__ import annotations

import torch

from sadtalker_service.engines.sadtalker.device import DeviceConfig

_ON_CPU = 2
"""One frame keeps a CPU busy. Two share each read of the weights."""
_MOST = 32
"""A smaller batch already fills a GPU. A larger one only delays the first frames and the end of a cancelled
job."""
_MOST_LARGE = 8
"""The same for frames larger than 256, whose largest maps would have 2^31 values in a batch of 16."""
_BYTES_PER_VALUE = 1.5e8
"""Memory of one frame of 256 x 256 per byte of the dtype: a generous estimate of the maps alive at the same
time."""
_SHARE = 0.5
"""Share of the memory that is free when the networks are loaded."""


def suggested_batch(device_config: DeviceConfig, size: int) -> int:
    """Batch size for frames of 256 or 512 on this device, by its free memory. At least one."""
    if not device_config.on_gpu:
        return _ON_CPU
    free, _ = torch.cuda.mem_get_info(device_config.device)
    per_frame = _BYTES_PER_VALUE * device_config.dtype.itemsize * (size / 256) ** 2
    most = _MOST if size <= 256 else _MOST_LARGE
    return max(1, min(most, int(_SHARE * free / per_frame)))
