"""Turn the user's choices into a plan, with defaults for the device."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from sadtalker_service.bench.sadtalker.report import Plan
from sadtalker_service.bench.sadtalker.subjects import TYPES
from sadtalker_service.engines.sadtalker.device import choose_device
from sadtalker_service.errors import InvalidOption

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_MULTIPLE = 128
"""The networks halve an image several times, so its sides must be multiples of this."""


def device_named(name: str) -> torch.device:
    """`cpu`, `cuda`, `cuda:1` ...; `auto` is the first GPU, or else the CPU.

    Raises `InvalidOption` for other names, and `EngineUnavailable` if the GPU does not exist.
    """
    if not _DEVICE.fullmatch(name):
        raise InvalidOption(f"The device is {name}; it must be auto, cpu, cuda or cuda:N.", param="device")
    return choose_device(name, "auto").device


def planned(
    device: torch.device,
    *,
    sizes: Sequence[int] | None = None,
    precisions: Sequence[str] | None = None,
    batches: Sequence[int] | None = None,
    repeats: int | None = None,
    clip_seconds: float | None = None,
    compiled: bool = False,
    original: bool = True,
    budget: float = 0.0,
) -> Plan:
    """Plan a measurement. Defaults are chosen so that it takes minutes. Raises `InvalidOption`."""
    on_gpu = device.type == "cuda"
    odd = [size for size in sizes or () if size < _MULTIPLE or size % _MULTIPLE]
    if odd:
        raise InvalidOption(f"The size is {odd[0]}; it must be a multiple of {_MULTIPLE}.", param="size")
    usual_seconds = 5.0 if on_gpu else 0.0
    return Plan(
        sizes=sizes or ((256, 512) if on_gpu else (256,)),
        precisions=precisions or (tuple(TYPES) if on_gpu else ("float32",)),
        batches=batches or ((16, 1, 8, 4, 2) if on_gpu else (1, 2)),
        repeats=repeats or (5 if on_gpu else 3),
        clip_seconds=usual_seconds if clip_seconds is None else clip_seconds,
        compiled=compiled,
        original=original,
        budget=budget,
    )
