"""Check and measure how the SadTalker engine draws on a GPU: goldens, passes, graphs, transfers.

    PYTHONPATH=src:. python benchmarks/sadtalker_gpu.py [goldens] [passes] [graphs] [transfers] [compiled]
        [--device cuda] [--small] [--output FILE]

Needs torch and numpy, and this checkout for the golden values. The output file is replaced after every
result, so that a run that is cut keeps what it has. Ends with status 1 if a golden value is missed.

goldens     frames of 256 with each form of the passes, against those of the original (tests/golden)
passes      seconds of a batch with each form of the passes, and the one that the engine chooses
graphs      seconds and memory of the capture of each batch size; bytes of a replay against a direct batch
transfers   pixels to the host, from a batch and from page-locked memory; batches that overlap
compiled    like `passes`, with those compiled by torch as well; takes long, so only if it is named

`--small` uses small frames and batches, for a trial on a CPU. There, no CUDA graph can be captured: the same
work is repeated instead.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sadtalker_service.bench.sadtalker.subjects import drawn, inputs, renderer
from sadtalker_service.bench.sadtalker.timing import Clock
from sadtalker_service.engines.sadtalker.device import choose_device
from sadtalker_service.engines.sadtalker.networks.generator import Generator
from sadtalker_service.engines.sadtalker.networks.keypoint_detector import KeypointDetector
from sadtalker_service.engines.sadtalker.renderer.arithmetic import use_full_float32
from sadtalker_service.engines.sadtalker.renderer.gpu.choosing import candidates, choose_steps
from sadtalker_service.engines.sadtalker.renderer.gpu.compiled import compiled_steps
from sadtalker_service.engines.sadtalker.renderer.gpu.graphs import (
    SIZES,
    Capture,
    Captured,
    CudaCapture,
    FrameGraphs,
    Limits,
)
from sadtalker_service.engines.sadtalker.renderer.gpu.slots import SourceSlots, empty_table
from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer, Scene
from sadtalker_service.engines.sadtalker.runtime.drawing import Part
from sadtalker_service.engines.sadtalker.runtime.gpu_drawing import GpuDrawer

LARGEST = {"deformation": 2e-5, "occlusion": 2e-5, "picture": 1e-4}
"""Largest difference in float32."""
MEAN = {"bfloat16": 1e-2, "float16": 1.5e-3}
"""Mean difference of a picture in 16 bits."""
ROUNDS = 10

Keep = Callable[..., None]


class Subject:
    """A device, and a renderer in its form for a GPU."""

    def __init__(self, device: torch.device, *, small: bool) -> None:
        self.device = device
        self.on_gpu = device.type == "cuda"
        self.size, self.batches = (128, (1,)) if small else (256, SIZES)
        self.precision = "bfloat16" if self.on_gpu else "float32"
        self.clock = Clock(device, 1 if small else 5)
        self.rounds = 2 if small else ROUNDS

    def form(self) -> FaceRenderer:
        """A renderer with random weights."""
        if self.on_gpu:
            return renderer(self.device, self.precision)
        found = FaceRenderer(drawn(Generator()), drawn(KeypointDetector()))
        return found.run_frames_in(torch.float32, channels_last=True)

    def scene(self, form: FaceRenderer, frames: int) -> tuple[Scene, Tensor]:
        """A source, and keypoints of so many frames."""
        pictures, source, driving = inputs(self.device, self.size, frames)
        return form.scene(form.encode_source(pictures).volume, source), driving

    def capture(self) -> Capture:
        """CUDA graphs, or work that is repeated."""
        return CudaCapture(self.device) if self.on_gpu else Repeated()


class Repeated:
    """Captures by doing the work again into the memory of the first time."""

    def __call__(self, run: Callable[[], Tensor]) -> Captured:
        """See `Capture`."""
        result = run()

        def replay() -> None:
            result.copy_(run())

        return Captured(replay, result)

    def memory(self) -> int:
        """See `Capture`."""
        return 0


def main() -> None:
    options = read_options()
    device = choose_device(options.device, "auto").device
    if device.type == "cuda":
        use_full_float32()
    subject = Subject(device, small=options.small)
    name = torch.cuda.get_device_name(device) if subject.on_gpu else "CPU"
    found: dict[str, Any] = {"device": name, "torch": torch.__version__, "size": subject.size}

    def keep(part: str, **results: Any) -> None:
        found.setdefault(part, {}).update(results)
        print(json.dumps({part: results}), flush=True)
        if options.output:
            unfinished = options.output.with_name(f"{options.output.name}.part")
            unfinished.write_text(json.dumps(found, indent=1))
            unfinished.replace(options.output)

    with torch.inference_mode():
        for part in options.parts or ("goldens", "passes", "graphs", "transfers"):
            PARTS[part](subject, lambda part=part, **results: keep(part, **results))
    sys.exit(0 if found.get("goldens", {}).get("held", True) else 1)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--small", action="store_true", help="small frames and batches")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {unknown.pop()}: choose from {', '.join(PARTS)}")
    return options


# ---- goldens


def goldens(subject: Subject, keep: Keep) -> None:
    """The second of the two frames that the original rendered, in each precision and form of the passes."""
    held = True
    for precision in ("float32", *(MEAN if subject.on_gpu else ())):
        form = golden_form(subject.device, getattr(torch, precision))
        for name, make in candidates(subject.device).items():
            form.on_gpu.steps = make()
            errors = dict(golden_errors(subject.device, form))
            good = (
                errors["picture mean"] < MEAN[precision]
                if precision in MEAN
                else all(errors[f"{what} largest"] < bound for what, bound in LARGEST.items())
            )
            held = held and good
            keep(**{f"{precision}, {name}": {**errors, "held": good}})
    keep(held=held)


@cache
def golden_weights(name: str) -> dict[str, Tensor]:
    """The weights of the golden values. They take seconds."""
    from tests.support.sadtalker_weights import weights  # noqa: PLC0415

    return {key: torch.from_numpy(value) for key, value in weights(name).items()}


def golden_form(device: torch.device, dtype: torch.dtype) -> FaceRenderer:
    """A renderer with these weights."""
    generator, detector = Generator(), KeypointDetector()
    generator.load_state_dict(golden_weights("generator"))
    detector.load_state_dict(golden_weights("kp_extractor"))
    form = FaceRenderer(generator.to(device), detector.to(device))
    return form.run_frames_in(dtype, channels_last=True)


def golden_errors(device: torch.device, form: FaceRenderer) -> Iterator[tuple[str, float]]:
    """Name -> largest or mean difference."""
    from tests.support.sadtalker_weights import GOLDEN, noise, picture  # noqa: PLC0415

    values = np.load(GOLDEN / "generator_256.npz")
    source = noise("kp_source", (2, 15, 3), 0.35)
    driving = source + noise("kp_driving", (2, 15, 3), 0.06)
    photo, source, driving = (
        torch.from_numpy(np.ascontiguousarray(array)).to(device)
        for array in (picture(256, 0.9)[None], source[1:], driving[1:])
    )
    scene = form.scene(form.encode_source(photo).volume, source)
    frames = form.on_gpu
    grid, share = frames.motion(frames.steps, scene.sources(1), driving)
    found = {
        "deformation": ("deformation", grid),
        "occlusion": ("occlusion_map", share[:, None]),
        "picture": ("prediction", form.render(scene, driving)),
    }
    for what, (key, tensor) in found.items():
        array, stride = tensor.float().cpu().numpy(), values.get(f"{key}.stride")
        if stride is not None:
            array = array[tuple(slice(None, None, int(step)) for step in stride)]
        errors = np.abs(array.astype(np.float64) - values[key][1:2])
        yield f"{what} largest", float(errors.max())
        yield f"{what} mean", float(errors.mean())


# ---- passes


def passes(subject: Subject, keep: Keep) -> None:
    """Each form for the largest and the smallest batch."""
    compare(subject, keep, tuple(dict.fromkeys((subject.batches[0], subject.batches[-1]))), {})


def compiled(subject: Subject, keep: Keep) -> None:
    """One batch size, because torch compiles every pass anew for each."""
    compare(subject, keep, subject.batches[:1], {"compiled": compiled_steps})


def compare(subject: Subject, keep: Keep, batches: tuple[int, ...], more: dict[str, Any]) -> None:
    form = subject.form()
    for batch in batches:
        scene, driving = subject.scene(form, batch)
        start = time.perf_counter()
        chosen = choose_steps(
            form.on_gpu, scene.sources(batch), driving, {**candidates(subject.device), **more}
        )
        keep(
            **{
                str(batch): {
                    "chosen": chosen.name,
                    "milliseconds_per_frame": {
                        name: 1000 * seconds / batch for name, seconds in chosen.seconds.items()
                    },
                    "unusable": chosen.unusable,
                    "seconds_to_choose": time.perf_counter() - start,
                }
            }
        )


# ---- graphs


def graphs(subject: Subject, keep: Keep) -> None:
    """Each batch size that the engine captures, the largest first."""
    form = chosen_form(subject)
    scene, driving = subject.scene(form, subject.batches[0])
    made = FrameGraphs(
        form.on_gpu, empty_table(scene, subject.batches[0]), subject.capture(), Limits(60.0, 10**12)
    )
    slots = SourceSlots(made.table)
    (slot,) = slots.place([scene])
    for batch in subject.batches:
        held, start = memory(subject), time.perf_counter()
        made.capture([batch])
        if made.failure:
            keep(failure=made.failure)
            return
        took, some = time.perf_counter() - start, driving[:batch]
        owners = torch.full((batch,), slot, dtype=torch.int32, device=subject.device)
        replayed = made.draw(some, owners).cpu()
        direct = form.pixels(scene, some).cpu()
        times = subject.clock.medians(
            {
                "graph": lambda some=some, owners=owners: made.draw(some, owners),
                "direct": lambda some=some: form.pixels(scene, some),
            }
        )
        keep(
            **{
                str(batch): {
                    "capture_seconds": took,
                    "gigabytes": (memory(subject) - held) / 1e9,
                    "largest_difference": int((replayed.short() - direct.short()).abs().max()),
                    "milliseconds": {name: 1000 * time.wall for name, time in times.items()},
                }
            }
        )


def memory(subject: Subject) -> int:
    return torch.cuda.memory_reserved(subject.device) if subject.on_gpu else 0


def chosen_form(subject: Subject) -> FaceRenderer:
    form = subject.form()
    scene, driving = subject.scene(form, subject.batches[0])
    choose_steps(form.on_gpu, scene.sources(len(driving)), driving, candidates(subject.device))
    return form


# ---- transfers


def transfers(subject: Subject, keep: Keep) -> None:
    """Pixels of the largest batch to the host, alone and beside drawing."""
    batch = subject.batches[0]
    pixels = torch.zeros(batch, subject.size, subject.size, 3, dtype=torch.uint8, device=subject.device)
    runs: dict[str, Callable[[], object]] = {"plain": pixels.cpu}
    if subject.on_gpu:
        host = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
        runs["page-locked"] = lambda: host.copy_(pixels, non_blocking=True)
    times = subject.clock.medians(runs)
    keep(milliseconds={name: 1000 * time.wall for name, time in times.items()})
    form = chosen_form(subject)
    scene, driving = subject.scene(form, batch)
    made = FrameGraphs(form.on_gpu, empty_table(scene, batch), subject.capture(), Limits(60.0, 10**12))
    made.capture([batch])
    drawer = GpuDrawer(made, SourceSlots(made.table))
    part = [Part(scene, driving)]
    drawer.begin(part)()

    def apart() -> None:
        for _ in range(subject.rounds):
            drawer.begin(part)()

    def overlapping() -> None:
        waiting = drawer.begin(part)
        for _ in range(subject.rounds - 1):
            following = drawer.begin(part)
            waiting()
            waiting = following
        waiting()

    times = subject.clock.medians({"apart": apart, "overlapping": overlapping})
    keep(
        milliseconds_per_batch={name: 1000 * time.wall / subject.rounds for name, time in times.items()},
        batch=batch,
    )


PARTS: dict[str, Callable[[Subject, Keep], None]] = {
    "goldens": goldens,
    "passes": passes,
    "graphs": graphs,
    "transfers": transfers,
    "compiled": compiled,
}


if __name__ == "__main__":
    main()
