"""Run a whole measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product

import torch

from sadtalker_service.bench import cores
from sadtalker_service.bench.sadtalker.clip import FRAME_RATE, Clips
from sadtalker_service.bench.sadtalker.frames import Frames
from sadtalker_service.bench.sadtalker.report import Case, Clip, Device, Plan, Rendered, Report, Work
from sadtalker_service.bench.sadtalker.subjects import drawn, renderer, work
from sadtalker_service.engines.sadtalker.networks.fusing import frozen
from sadtalker_service.engines.sadtalker.networks.generator import Generator
from sadtalker_service.engines.sadtalker.renderer.arithmetic import use_full_float32
from sadtalker_service.engines.sadtalker.renderer.host_memory import keep_freed_memory

Tell = Callable[[str], None]
"""Called with a description of each measurement."""

_CLIP_REPEATS = 3


def measure(device: torch.device, plan: Plan, tell: Tell) -> Report:
    """Measure everything in the plan."""
    if device.type == "cpu":
        keep_freed_memory()
    else:
        use_full_float32()
    load, before = cores.load(), cores.core_time()
    with torch.inference_mode():
        measuring = _Measuring(device, plan, tell)
        for precision in plan.precisions:
            measuring.measure(precision)
        clips = measuring.clips() if plan.clip_seconds else []
    return Report(
        device=_device_info(device, load),
        stolen=cores.stolen_share(before, cores.core_time()),
        compiled=plan.compiled,
        work=measuring.work,
        rendered=measuring.rendered,
        clips=clips,
        out_of_memory=measuring.out_of_memory,
    )


@dataclass
class _Measuring:
    device: torch.device
    plan: Plan
    tell: Tell
    work: dict[int, Work] = field(default_factory=dict)
    rendered: list[Rendered] = field(default_factory=list)
    out_of_memory: list[Case] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.work.update({size: work(size) for size in self.plan.sizes})
        self._original = frozen(drawn(Generator()).to(self.device))
        self._forms: dict[str, Frames] = {}

    def measure(self, precision: str) -> None:
        """Measure all sizes and batches."""
        self.tell(f"{precision}: preparing")
        frames = self._forms[precision] = self._form(precision)
        for size, batch in product(self.plan.sizes, self.plan.batches):
            case = Case(size, precision, batch)
            self.tell(f"{precision}: {size}, {batch} at once")
            with self._tolerate_out_of_memory(case):
                self.rendered.append(self._measured(frames, case))

    def clips(self) -> list[Clip]:
        """A video of each size, with the fastest case."""
        found: list[Clip] = []
        for size in self.plan.sizes:
            known = [one for one in self.rendered if one.case.size == size]
            case = max(known, key=lambda one: one.frames_per_second).case if known else None
            if case is None:
                continue
            self.tell(f"{case.precision}: {size}, a clip of {self.plan.clip_seconds:g} s")
            count = max(1, round(self.plan.clip_seconds * FRAME_RATE))
            with self._tolerate_out_of_memory(case):
                clips = Clips(self._forms[case.precision])
                found.append(clips.measure(case, count, repeats=min(_CLIP_REPEATS, self.plan.repeats)))
        return found

    def _measured(self, frames: Frames, case: Case) -> Rendered:
        count = self.work[case.size]
        on_tiles = self.device.type == "cpu" and case.precision == "float32"
        work_done = count.tiles if on_tiles else count.reduced
        return frames.measure(case, work_done, repeats=self.plan.repeats, beside_original=self.plan.original)

    def _form(self, precision: str) -> Frames:
        found = renderer(self.device, precision)
        if self.plan.compiled:
            found.compile_frames()
        return Frames(self.device, found, self._original)

    @contextmanager
    def _tolerate_out_of_memory(self, case: Case) -> Iterator[None]:
        """Context manager that lets the measurement continue if a case runs out of memory."""
        try:
            yield
        except torch.OutOfMemoryError:
            self.out_of_memory.append(case)
            torch.cuda.empty_cache()


def _device_info(device: torch.device, load: float) -> Device:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return Device(
        name=name,
        processor=cores.processor(),
        cores=cores.usable_cores(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        load=load,
    )
