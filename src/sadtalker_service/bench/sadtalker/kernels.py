"""Which kernels a batch of frames takes, and how long each: a profile as a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch.profiler import ProfilerActivity, profile

from sadtalker_service.bench.sadtalker.report import Case, Plan
from sadtalker_service.bench.sadtalker.subjects import inputs, prepare_arithmetic, renderer
from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer

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
    """Per batch. On a CPU: calls."""


def profiles(
    device: torch.device, plan: Plan, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
) -> Iterator[str]:
    """A table for each size and batch size of a plan, in its first precision, as Markdown, one by one.

    Cases that do not begin within the budget, do not fit into memory, or were interrupted by
    `KeyboardInterrupt`, are named instead.
    """
    prepare_arithmetic(device)
    began, form = clock(), None
    cases = [Case(size, plan.precisions[0], batch) for size, batch in product(plan.sizes, plan.batches)]
    stopped = False
    for case in cases:
        if stopped or 0 < plan.budget <= clock() - began:
            yield f"Not profiled: {_name(case)}."
            continue
        try:
            tell(f"profile of {_name(case)} ...")
            with torch.inference_mode():
                form = form or renderer(device, case.precision)
                kernels = profiled(device, case, form)
            what = "launches" if device.type == "cuda" else "operations"
            yield "\n".join((*table(case, kernels, what), ""))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            yield f"Not enough memory: {_name(case)}."
        except KeyboardInterrupt:
            stopped = True
            yield f"Not profiled: {_name(case)}."


def profiled(device: torch.device, case: Case, form: FaceRenderer) -> list[Kernel]:
    """The kernels of a batch, those that take longest first. Without a graph, which would hide their names
    from some profilers. Call it in inference mode."""
    on_gpu = device.type == "cuda"
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


def table(case: Case, kernels: list[Kernel], what: str) -> Iterator[str]:
    """The profile in Markdown. `what` is counted: launches, or on a CPU operations, which contain others."""
    whole = sum(one.microseconds for one in kernels)
    launches = sum(one.launches for one in kernels)
    yield f"{_name(case)}: {whole:.0f} us per frame, {launches:.0f} {what}."
    yield ""
    yield f"| us per frame | share | {what} per batch | kernel |"
    yield "|---|---|---|---|"
    for one in kernels[:_ROWS]:
        name = one.name[:_LONGEST_NAME].replace("|", "/")
        yield f"| {one.microseconds:.1f} | {one.microseconds / whole:.1%} | {one.launches:.0f} | `{name}` |"


def _name(case: Case) -> str:
    return f"{case.size}, {case.precision}, {case.batch} at once"
