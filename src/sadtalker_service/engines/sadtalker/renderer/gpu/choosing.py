"""Choose how the passes between convolutions run: by measurement, on the device itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

import torch
from torch import Tensor

from sadtalker_service.engines.sadtalker.renderer.gpu.form import FramesOnGpu
from sadtalker_service.engines.sadtalker.renderer.gpu.plain import PlainSteps
from sadtalker_service.engines.sadtalker.renderer.gpu.steps import Sources, Steps

PLAIN = "plain"
_ROUNDS = 3
_MEAN_ERROR = 2e-2
"""Mean difference of a picture from the plain form, above which a form is wrong. Rounding in 16 bits stays
below half of it."""


@dataclass(frozen=True)
class Choice:
    """The form that was chosen."""

    name: str
    seconds: dict[str, float]
    """Seconds of a batch with each form that works."""
    unusable: dict[str, str] = field(default_factory=dict)
    """The other forms, and why not."""


def candidates(device: torch.device) -> dict[str, Callable[[], Steps]]:
    """The forms that may run here, by name, the plain one first."""
    found: dict[str, Callable[[], Steps]] = {PLAIN: PlainSteps}
    if device.type == "cuda" and find_spec("triton"):
        found["fused"] = _fused
    return found


def choose_steps(
    frames: FramesOnGpu, sources: Sources, driving: Tensor, forms: Mapping[str, Callable[[], Steps]]
) -> Choice:
    """Give `frames` the fastest of the forms that draw the same picture as the first one.

    A form that fails is left out. Raises only the errors of the first form, and `torch.OutOfMemoryError`.
    """
    first, *others = forms
    working: dict[str, Steps] = {first: forms[first]()}
    frames.steps = working[first]
    wanted = frames.pictures(sources, driving)
    seconds, unusable = {first: _seconds(frames, sources, driving)}, {}
    for name in others:
        try:
            frames.steps = forms[name]()
            error = (frames.pictures(sources, driving) - wanted).abs().mean().item()
            time_taken = _seconds(frames, sources, driving)
        except torch.OutOfMemoryError:
            raise
        except Exception as failure:  # noqa: BLE001 - a compiler may fail in any way
            unusable[name] = f"{type(failure).__name__}: {failure}"
            continue
        if error < _MEAN_ERROR:  # not if it is no number
            working[name], seconds[name] = frames.steps, time_taken
        else:
            unusable[name] = f"its pictures differ by {error:.3g}"
    fastest = min(seconds, key=seconds.__getitem__)
    frames.steps = working[fastest]
    return Choice(fastest, seconds, unusable)


def _fused() -> Steps:
    from sadtalker_service.engines.sadtalker.renderer.gpu.fused import (  # noqa: PLC0415 - needs Triton
        FusedSteps,
    )

    return FusedSteps()


def _seconds(frames: FramesOnGpu, sources: Sources, driving: Tensor) -> float:
    """Shortest of a few runs."""
    return min(_timed(frames, sources, driving) for _ in range(_ROUNDS))


def _timed(frames: FramesOnGpu, sources: Sources, driving: Tensor) -> float:
    start = time.perf_counter()
    frames.pixels(sources, driving)
    if driving.device.type == "cuda":
        torch.cuda.synchronize(driving.device)
    return time.perf_counter() - start
