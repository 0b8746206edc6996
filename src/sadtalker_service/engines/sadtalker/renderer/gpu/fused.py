"""The passes as Triton kernels, one launch each. Importing this needs Triton."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import triton
from torch import Tensor

from sadtalker_service.engines.sadtalker.networks.dense_motion import NEGLIGIBLE, SPREAD
from sadtalker_service.engines.sadtalker.renderer.gpu import kernels, motion_kernels
from sadtalker_service.engines.sadtalker.renderer.gpu.steps import (
    COLOURS,
    EPSILON,
    Moments,
    Sources,
    places,
)

_ROWS, _BLOCK = 32, 64
"""Pixels and channels of a program."""
_TURNS = 4
"""Times that a program of `modulated` reads as many pixels with the same mean and variance."""
_VOXELS = 64
_GATHERED = 32
"""Voxels of a program that gathers 32 channels. A thread then holds eight values of eight corners."""
_HINTED = 8
"""The same for the 80 channels of the hints, rounded up to 128."""
_TAPS = 7
_FEWEST_SPLITS, _PIXELS_PER_SPLIT = 16, 1024
"""The sums of a map are taken in at least so many parts, of at most so many pixels."""

Launch = Callable[..., None]
"""Runs a kernel: kernel, grid, positional arguments, constants."""


def launch(kernel: Any, grid: Sequence[int], *arguments: object, **constants: object) -> None:
    """Run a kernel on the device of its first argument."""
    first = arguments[0]
    assert isinstance(first, Tensor)  # noqa: S101 - of our own kernels
    with torch.cuda.device(first.device) if first.device.type == "cuda" else nullcontext():
        kernel[tuple(grid)](*arguments, **constants)


class FusedSteps:
    """Implements `steps.Steps`. On a CPU only with `TRITON_INTERPRET=1`, and slowly."""

    def __init__(self, run: Launch = launch) -> None:
        """`run` launches each kernel."""
        self._run = run

    def hints(self, sources: Sources, driving: Tensor, like: Tensor) -> Tensor:
        """See `Steps`."""
        _, depth, height, width, channels = sources.compressed.shape
        slots = driving.shape[1] + 1
        wide = slots * (1 + channels)
        found = like.new_empty(len(driving), depth, height, width, wide)
        self._run(
            motion_kernels.hints_kernel,
            (triton.cdiv(depth * height * width, _HINTED), len(driving)),
            *(sources.compressed, sources.keypoints, driving, sources.owners, found),
            *(depth, height, width, SPREAD),
            SLOTS=slots,
            CHANNELS=channels,
            ROWS=_HINTED,
            BLOCK=triton.next_power_of_2(wide),
        )
        return found

    def pooled(self, x: Tensor, bias: Tensor) -> Tensor:
        """See `Steps`."""
        batch, depth, height, width, channels = x.shape
        found = x.new_empty(batch, depth, height // 2, width // 2, channels)
        rows = found.numel() // channels
        self._run(
            kernels.pooled_kernel,
            _grid(rows, channels),
            *(x, bias, found, rows, width // 2, channels),
            ROWS=_ROWS,
            BLOCK=_BLOCK,
        )
        return found

    def doubled(self, x: Tensor, bias: Tensor, beside: Tensor) -> Tensor:
        """See `Steps`."""
        channels, others = len(bias), beside.shape[4]
        found = x.new_empty(*beside.shape[:4], channels + others)
        rows = found.numel() // (channels + others)
        self._run(
            kernels.joined_kernel,
            _grid(rows, channels + others),
            *(x, bias, beside, found, rows, x.shape[2] - 1, x.shape[3] - 1, channels, others),
            ROWS=_ROWS,
            BLOCK=_BLOCK,
        )
        return found

    def activated(self, x: Tensor, bias: Tensor, slope: float) -> Tensor:
        """See `Steps`."""
        return self._by_rows(x, bias, torch.empty_like(x), slope=slope)

    def deformation(self, x: Tensor, bias: Tensor, sources: Sources, driving: Tensor) -> Tensor:
        """See `Steps`."""
        batch, depth, height, width, _ = x.shape
        found = bias.new_empty(batch, depth, height, width, 3)
        self._run(
            motion_kernels.deformation_kernel,
            (triton.cdiv(depth * height * width, _VOXELS), batch),
            *(x, bias, sources.keypoints, driving, sources.owners, found),
            *(depth, height, width, NEGLIGIBLE),
            SLOTS=len(bias),
            TAPS=_TAPS,
            ROWS=_VOXELS,
        )
        return found

    def warped(self, sources: Sources, grid: Tensor, like: Tensor) -> Tensor:
        """See `Steps`."""
        batch, depth, height, width, _ = grid.shape
        channels = sources.volume.shape[4]
        found = like.new_empty(batch, height, width, depth * channels)
        self._run(
            motion_kernels.warped_kernel,
            (triton.cdiv(depth * height * width, _GATHERED), batch),
            *(sources.volume, grid, sources.owners, found, depth, height, width),
            CHANNELS=channels,
            ROWS=_GATHERED,
            BLOCK=triton.next_power_of_2(channels),
        )
        return found

    def visible(self, x: Tensor, bias: Tensor) -> Tensor:
        """See `Steps`."""
        batch, height, width, channels = x.shape
        found = bias.new_empty(batch, height, width)
        self._run(
            motion_kernels.visible_kernel,
            (triton.cdiv(height * width, _ROWS), batch),
            *(x, bias, found, height, width, channels),
            TAPS=_TAPS,
            ROWS=_ROWS,
            BLOCK=triton.next_power_of_2(_TAPS**2),
        )
        return found

    def masked(self, x: Tensor, bias: Tensor, share: Tensor) -> Tensor:
        """See `Steps`."""
        return self._by_rows(x, bias, torch.empty_like(x), share=share)

    def split(self, x: Tensor, bias: Tensor, parts: int) -> Tensor:
        """See `Steps`."""
        found = x.new_empty(parts, *x.shape[:3], x.shape[3] // parts)
        return self._by_rows(x, bias, found, slope=0.0)

    def spread(self, x: Tensor, bias: Tensor, parts: int, times: int) -> Tensor:
        """See `Steps`."""
        height, width, channels = x.shape[1] - 1, x.shape[2] - 1, len(bias)
        found = x.new_empty(parts, len(x), times * height, times * width, channels // parts)
        rows = found.numel() // channels
        self._run(
            kernels.spread_kernel,
            _grid(rows, channels),
            *(x, bias, found, rows, height, width, channels),
            TIMES=times,
            PLACES=places(times),
            PART=channels // parts,
            ROWS=_ROWS,
            BLOCK=_BLOCK,
        )
        return found

    def added(self, x: Tensor, bias: Tensor, beside: Tensor | None = None) -> tuple[Tensor, Moments]:
        """See `Steps`."""
        found = torch.empty_like(x)
        return found, self._sums(x, bias, beside, None, found, 1.0)

    def joined(
        self, x: Tensor, bias: Tensor, beside: Tensor, shift: Tensor, slope: float | None
    ) -> tuple[Tensor, Moments]:
        """See `Steps`."""
        found = torch.empty_like(x)
        return found, self._sums(x, bias, beside, shift, found, 1.0 if slope is None else slope)

    def moments(self, x: Tensor) -> Moments:
        """See `Steps`. The values are those of `kernels.sums_kernel`."""
        return self._sums(x, None, None, None, None, 1.0)

    def modulated(
        self, x: Tensor, moments: Moments, modulation: Tensor, bias: Tensor, slope: float, times: int = 1
    ) -> Tensor:
        """See `Steps`."""
        return self._modulated(x, moments, modulation, bias, slope, times, shift=True)

    def scaled(self, x: Tensor, moments: Moments, modulation: Tensor, bias: Tensor, times: int = 1) -> Tensor:
        """See `Steps`."""
        return self._modulated(x, moments, modulation, bias, 1.0, times, shift=False)

    def colours(self, x: Tensor, bias: Tensor) -> Tensor:
        """See `Steps`."""
        found = bias.new_empty(len(x), COLOURS, *x.shape[1:3])
        return self._colours(x, bias, found, as_bytes=False)

    def pixels(self, x: Tensor, bias: Tensor) -> Tensor:
        """See `Steps`."""
        found = torch.empty(*x.shape[:3], COLOURS, dtype=torch.uint8, device=x.device)
        return self._colours(x, bias, found, as_bytes=True)

    def _by_rows(
        self, x: Tensor, bias: Tensor, found: Tensor, *, slope: float = 1.0, share: Tensor | None = None
    ) -> Tensor:
        channels = len(bias)
        rows = x.numel() // channels
        self._run(
            kernels.rows_kernel,
            _grid(rows, channels),
            *(x, bias, bias if share is None else share, found, rows, channels, slope),
            PART=found.shape[-1],
            SHARED=share is not None,
            ROWS=_ROWS,
            BLOCK=_BLOCK,
        )
        return found

    def _sums(
        self,
        x: Tensor,
        bias: Tensor | None,
        beside: Tensor | None,
        shift: Tensor | None,
        found: Tensor | None,
        slope: float,
    ) -> Moments:
        batch, height, width, channels = x.shape
        pixels = height * width
        splits = max(_FEWEST_SPLITS, pixels // _PIXELS_PER_SPLIT)
        sums = torch.empty(batch, splits, 3, channels, dtype=torch.float32, device=x.device)
        # a kernel takes any array where it reads none
        arrays = [x if array is None else array for array in (bias, beside, shift, found)]
        self._run(
            kernels.sums_kernel,
            (batch * splits, triton.cdiv(channels, _BLOCK)),
            *(x, *arrays, sums, pixels, channels, channels if shift is None else shift.shape[3]),
            *(slope, splits),
            BESIDE=beside is not None,
            SHIFT=shift is not None,
            BIAS=bias is not None,
            WRITE=found is not None,
            ROWS=_ROWS,
            BLOCK=_BLOCK,
        )
        return Moments(sums)

    def _modulated(
        self,
        x: Tensor,
        moments: Moments,
        modulation: Tensor,
        bias: Tensor,
        slope: float,
        times: int,
        *,
        shift: bool,
    ) -> Tensor:
        batch, height, width, wide = modulation.shape
        channels, splits = x.shape[3], moments.values.shape[1]
        found = x.new_empty(batch, height, width, channels)
        tiles = triton.cdiv(height * width, _TURNS * _ROWS)
        self._run(
            kernels.modulated_kernel,
            (batch * tiles, triton.cdiv(channels, _BLOCK)),
            *(x, moments.values, modulation, bias, found, height, width, channels, wide),
            *(slope, splits, tiles, EPSILON),
            TIMES=times,
            SHIFT=shift,
            SPLITS=triton.next_power_of_2(splits),
            TURNS=_TURNS,
            ROWS=_ROWS,
            BLOCK=_BLOCK,
        )
        return found

    def _colours(self, x: Tensor, bias: Tensor, found: Tensor, *, as_bytes: bool) -> Tensor:
        batch, height, width, channels = x.shape
        rows = batch * height * width
        self._run(
            kernels.colours_kernel,
            (triton.cdiv(rows, _BLOCK),),
            *(x, bias, found, rows, height * width, channels),
            BYTES=as_bytes,
            ROWS=_BLOCK,
        )
        return found


def _grid(rows: int, channels: int) -> tuple[int, int]:
    return triton.cdiv(rows, _ROWS), triton.cdiv(channels, _BLOCK)
