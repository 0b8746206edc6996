"""Which kernels a batch of frames takes, and how long each: a profile as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

from sadtalker_service.bench.sadtalker.report import Case
from sadtalker_service.bench.sadtalker.subjects import inputs, renderer

_RUNS = 5
_WARM_UPS = 3
_ROWS = 30
_LONGEST_NAME = 90


@dataclass(frozen=True)
class Kernel:
    """A kind of kernel, or of operation on a CPU."""

    name: str
    microseconds: float
    """Per frame."""
    launches: float
    """Per batch."""


def profiled(device: torch.device, case: Case) -> list[Kernel]:
    """The kernels of a batch, those that take longest first. Without a graph, which would hide their names
    from some profilers."""
    on_gpu = device.type == "cuda"
    with torch.inference_mode():
        form = renderer(device, case.precision)
        pictures, source, driving = inputs(device, case.size, case.batch)
        scene = form.scene(form.encode_source(pictures).volume, source)
        for _ in range(_WARM_UPS if on_gpu else 1):
            form.pixels(scene, driving).cpu()
        runs = _RUNS if on_gpu else 1
        activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
        with profile(activities=[activity]) as found:
            for _ in range(runs):
                form.pixels(scene, driving).cpu()
            if on_gpu:
                torch.cuda.synchronize(device)
    kernels = [
        Kernel(
            event.key,
            (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / runs / case.batch,
            event.count / runs,
        )
        for event in found.key_averages()
    ]
    return sorted((one for one in kernels if one.microseconds), key=lambda one: -one.microseconds)


def table(case: Case, kernels: list[Kernel]) -> Iterator[str]:
    """The profile in Markdown."""
    whole = sum(one.microseconds for one in kernels)
    launches = sum(one.launches for one in kernels)
    what = f"{case.size}, {case.precision}, {case.batch} at once"
    yield f"{what}: {whole:.0f} us per frame, {launches:.0f} launches."
    yield ""
    yield "| us per frame | share | launches per batch | kernel |"
    yield "|---|---|---|---|"
    for one in kernels[:_ROWS]:
        name = one.name[:_LONGEST_NAME].replace("|", "/")
        yield f"| {one.microseconds:.1f} | {one.microseconds / whole:.1%} | {one.launches:.0f} | `{name}` |"
