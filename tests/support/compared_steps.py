"""Every pass between two convolutions, by Triton kernels and in plain torch, for the same random input.

Run as a program with a type and `TRITON_INTERPRET=1`, because Triton decides at its import whether it
compiles or interprets: prints the differences as JSON, by pass.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from sadtalker_service.engines.sadtalker.renderer.gpu.plain import PlainSteps
from sadtalker_service.engines.sadtalker.renderer.gpu.steps import Sources, Steps

_BATCH, _DEPTH, _HEIGHT, _WIDTH, _KEYPOINTS = 2, 3, 4, 5, 15
_WIDE = 70
"""Channels that no block of 64 divides."""


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Random numbers that depend on the shape alone."""
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).to(dtype)


def results(steps: Steps, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Name and result of every pass."""
    yield from _motion(steps, dtype)
    yield from _decoder(steps, dtype)


def _motion(steps: Steps, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    batch, depth, height, width = _BATCH, _DEPTH, _HEIGHT, _WIDTH
    sources = Sources(
        draw(2, depth, height, width, 32, dtype=torch.float16),
        draw(2, depth, height, width, 4).abs(),
        draw(2, _KEYPOINTS, 3) * 0.35,
        torch.tensor([1, 0], dtype=torch.int32),
    )
    driving, like = draw(batch, _KEYPOINTS, 3) * 0.35, torch.empty(0, dtype=dtype)
    yield "hints", steps.hints(sources, driving, like)
    yield "pooled", steps.pooled(draw(batch, 3, 6, 4, 7, dtype=dtype), draw(7))
    beside = draw(batch, 3, 6, 8, 5, dtype=dtype)
    yield "doubled", steps.doubled(draw(batch, 3, 4, 5, 28, dtype=dtype), draw(7), beside)
    yield "activated", steps.activated(beside, draw(5), 0.01)
    planes = draw(batch, depth, height, width, 112, dtype=dtype)
    grid = steps.deformation(planes, draw(16), sources, driving)
    yield "deformation", grid
    yield "warped", steps.warped(sources, grid, like)
    share = steps.visible(draw(batch, height, width, 56, dtype=dtype), draw(1))
    yield "visible", share
    yield "masked", steps.masked(draw(batch, height, width, _WIDE, dtype=dtype), draw(_WIDE), share)


def _decoder(steps: Steps, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    batch, height, width = _BATCH, _HEIGHT, _WIDTH
    yield "split", steps.split(draw(batch, height, width, _WIDE, dtype=dtype), draw(_WIDE), 5)
    for times, places in ((2, 4), (4, 9)):
        x = draw(batch, height + 1, width + 1, places * 6, dtype=dtype)
        yield f"spread {times}", steps.spread(x, draw(6), 3, times)
    x, beside = (draw(batch, 8, 6, _WIDE, dtype=dtype) * 2 + 3, draw(batch, 8, 6, _WIDE, dtype=dtype))
    modulation, bias = draw(batch, 8, 6, 2 * _WIDE, dtype=dtype), draw(2 * _WIDE)
    sums = {
        "moments": (x, steps.moments(x)),
        "added": steps.added(x, draw(_WIDE)),
        "added beside": steps.added(x, draw(_WIDE), beside),
        "joined": steps.joined(x, draw(_WIDE), beside, modulation, None),
        "joined, leaky": steps.joined(x, draw(_WIDE), beside, modulation, 0.2),
    }
    for name, (found, moments) in sums.items():
        yield name, found
        yield f"{name}, modulated", steps.modulated(found, moments, modulation, bias, 0.2)
    large, moments = draw(batch, 16, 12, 2 * _WIDE, dtype=dtype), steps.moments(x)
    yield "modulated, doubled", steps.modulated(x, moments, large, bias, 0.2, times=2)
    yield "scaled, doubled", steps.scaled(x, moments, large, bias[:_WIDE], times=2)
    image = draw(batch, 8, 6, 8, dtype=dtype)
    yield "colours", steps.colours(image, draw(3))
    yield "pixels", steps.pixels(image, draw(3))


def differences(dtype: torch.dtype) -> dict[str, float]:
    """Pass -> largest difference, relative to the largest value. Both results have one layout and type."""
    from sadtalker_service.engines.sadtalker.renderer.gpu.fused import FusedSteps

    found: dict[str, float] = {}
    pairs = zip(results(PlainSteps(), dtype), results(FusedSteps(), dtype), strict=True)
    for (name, plain), (_, fused) in pairs:
        assert plain.is_contiguous()
        assert fused.is_contiguous()
        assert plain.dtype == fused.dtype
        assert plain.shape == fused.shape
        error = (plain.double() - fused.double()).abs().max() / plain.double().abs().max()
        found[name] = error.item()
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.inference_mode():
        sys.stdout.write(json.dumps(differences(getattr(torch, sys.argv[1]))))
