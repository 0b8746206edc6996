"""Run a whole measurement."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import product

import torch

from sadtalker_service.bench import cores
from sadtalker_service.bench.sadtalker.clip import FRAME_RATE, Clips
from sadtalker_service.bench.sadtalker.frames import Frames
from sadtalker_service.bench.sadtalker.report import Case, Clip, Device, Plan, Rendered, Report, Work
from sadtalker_service.bench.sadtalker.subjects import drawn, prepare_arithmetic, renderer, work
from sadtalker_service.engines.sadtalker.networks.fusing import frozen
from sadtalker_service.engines.sadtalker.networks.generator import Generator

Tell = Callable[[str], None]
"""Called with a description of each measurement."""
Keep = Callable[[Report], None]
"""Called with everything that is known, after each case."""

_CLIP_REPEATS = 3


def measure(
    device: torch.device,
    plan: Plan,
    tell: Tell,
    keep: Keep = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """Measure everything in the plan, as far as its budget allows. `KeyboardInterrupt` ends it early, without
    loss of what has been measured."""
    prepare_arithmetic(device)
    measuring = _Measuring(device, plan, tell, keep, clock)
    with torch.inference_mode(), suppress(KeyboardInterrupt):
        measuring.run()
    return measuring.report()


@dataclass
class _Measuring:
    device: torch.device
    plan: Plan
    tell: Tell
    keep: Keep
    clock: Callable[[], float]
    work: dict[int, Work] = field(default_factory=dict)
    rendered: list[Rendered] = field(default_factory=list)
    clips: list[Clip] = field(default_factory=list)
    out_of_memory: list[Case] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = self.clock()
        self._load, self._cores = cores.load(), cores.core_time()
        self._originals: set[int] = set()
        """Sizes for which the original's structure has been timed."""

    def run(self) -> None:
        """Measure the cases of one type after the other, each followed by its clips."""
        self.work.update({size: work(size) for size in self.plan.sizes})
        original = frozen(drawn(Generator()).to(self.device))
        for precision in self.plan.precisions:
            if self._is_over():
                return
            self.tell(f"{precision}: preparing")
            frames = self._form(precision, original)
            for size, batch in product(self.plan.sizes, self.plan.batches):
                self._measure(frames, Case(size, precision, batch))
            if self.plan.clip_seconds and precision == self.plan.precisions[0]:
                self._measure_clips(frames)

    def report(self) -> Report:
        """What is known so far."""
        done = {found.case for found in self.rendered} | set(self.out_of_memory)
        planned = (
            Case(size, precision, batch)
            for precision in self.plan.precisions
            for size, batch in product(self.plan.sizes, self.plan.batches)
        )
        return Report(
            device=_device_info(self.device, self._load),
            stolen=cores.stolen_share(self._cores, cores.core_time()),
            compiled=self.plan.compiled,
            work=dict(self.work),
            rendered=list(self.rendered),
            clips=list(self.clips),
            out_of_memory=list(self.out_of_memory),
            left_out=[case for case in planned if case not in done],
        )

    def _measure(self, frames: Frames, case: Case) -> None:
        if self._is_over():
            return
        self.tell(f"{case.precision}: {case.size}, {case.batch} at once")
        count = self.work[case.size]
        on_tiles = self.device.type == "cpu" and case.precision == "float32"
        beside = self.plan.original and case.size not in self._originals
        with self._tolerate_out_of_memory(case):
            found = frames.measure(
                case,
                count.tiles if on_tiles else count.reduced,
                repeats=self.plan.repeats,
                beside_original=beside,
            )
            self.rendered.append(found)
            self._originals.add(case.size)
            self.tell(f"{case.precision}: {case.size}, {case.batch} at once: {found.frames_per_second:.4g}/s")
        self.keep(self.report())

    def _measure_clips(self, frames: Frames) -> None:
        """A video of each size, with the fastest batch."""
        for size in self.plan.sizes:
            known = [one for one in self.rendered if one.case.size == size]
            if not known or self._is_over():
                continue
            case = max(known, key=lambda one: one.frames_per_second).case
            self.tell(f"{case.precision}: {size}, a clip of {self.plan.clip_seconds:g} s")
            count = max(1, round(self.plan.clip_seconds * FRAME_RATE))
            with self._tolerate_out_of_memory(case):
                repeats = min(_CLIP_REPEATS, self.plan.repeats)
                self.clips.append(Clips(frames).measure(case, count, repeats=repeats))
            self.keep(self.report())

    def _is_over(self) -> bool:
        return 0 < self.plan.budget <= self.clock() - self._began

    def _form(self, precision: str, original: Generator) -> Frames:
        found = renderer(self.device, precision)
        if self.plan.compiled:
            found.compile_frames()
        return Frames(self.device, found, original)

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
