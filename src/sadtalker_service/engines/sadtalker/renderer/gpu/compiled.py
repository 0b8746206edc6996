"""The passes compiled by torch, each by itself and for fixed shapes."""

from __future__ import annotations

from inspect import isfunction

import torch

from sadtalker_service.engines.sadtalker.renderer.gpu.plain import PlainSteps
from sadtalker_service.engines.sadtalker.renderer.gpu.steps import Steps

_MOST_SHAPES = 64
"""Shapes of one pass that may be compiled: its places in the networks times the batch sizes."""


def compiled_steps() -> Steps:
    """Passes that torch compiles when they run for the first time, anew for each shape. In this whole
    process, a function may be compiled for more shapes afterwards."""
    torch._dynamo.config.recompile_limit = max(_MOST_SHAPES, torch._dynamo.config.recompile_limit)
    steps = PlainSteps()
    for name, function in vars(PlainSteps).items():
        if isfunction(function):
            setattr(steps, name, torch.compile(getattr(steps, name), dynamic=False))
    return steps
