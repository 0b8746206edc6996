"""How fast the SadTalker renderer is on this device, beside the structure of the original.

Speed does not depend on the weights' values, so that no checkpoint is needed: drawn weights do. Nothing but
torch is needed either, so that it runs on a bare GPU machine from a source tree:

    PYTHONPATH=src python -m sadtalker_service.bench.sadtalker --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from sadtalker_service.engines.sadtalker.multiply_adds import multiply_adds
from sadtalker_service.engines.sadtalker.networks.generator import Generator
from sadtalker_service.engines.sadtalker.networks.inference import Network, frozen
from sadtalker_service.engines.sadtalker.networks.keypoint_detector import KeypointDetector
from sadtalker_service.engines.sadtalker.rendering.host_memory import keep_freed_memory
from sadtalker_service.engines.sadtalker.rendering.renderer import FaceRenderer, Scene, as_pixels

_TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_KEYPOINTS = 15


@dataclass(frozen=True)
class Case:
    """What is measured."""

    size: int
    dtype: str
    batch: int


@dataclass(frozen=True)
class Rendered:
    """One case. Times are medians, of whole batches until the bytes of the frames are there."""

    case: Case
    frames_per_second: float
    milliseconds: float
    """Per frame."""
    stages: dict[str, float]
    """Milliseconds per frame of motion, warp and decoder, each by itself."""
    multiply_adds: float
    """Per frame, in 1e9."""
    share: float
    """Of the rate of a large matrix product of the same type on this device, measured in the same run."""
    error: float | None
    """Largest difference from the float32 picture; of drawn weights, which are rougher than trained ones."""
    memory: float
    """Peak on the GPU, in 1e9 bytes; 0 on a CPU."""


@dataclass(frozen=True)
class Report:
    """A run."""

    device: str
    torch: str
    threads: int
    original_frames_per_second: dict[int, float]
    """The trained form, nothing kept between frames, float32, two frames at a time; by size."""
    products: dict[str, float]
    """Multiply-adds per second of a matrix product, in 1e12, by type."""
    rendered: list[Rendered]


def measure(
    device: torch.device,
    cases: Sequence[Case],
    *,
    repeats: int = 5,
    compiled: bool = False,
    original: bool = True,
) -> Report:
    """Measure every case on `device`."""
    if device.type == "cpu":
        keep_freed_memory()
    with torch.inference_mode():
        products = {name: _product_rate(device, _TYPES[name]) for name in {case.dtype for case in cases}}
        before = {
            size: 2 / _median(device, repeats, _original(device, size))
            for size in sorted({case.size for case in cases})
            if original
        }
        rendered = [_rendered(device, case, products[case.dtype], repeats, compiled) for case in cases]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return Report(name, torch.__version__, torch.get_num_threads(), before, products, rendered)


def _rendered(
    device: torch.device, case: Case, product_rate: float, repeats: int, compiled: bool
) -> Rendered:
    renderer = _renderer(device)
    pictures, source, driving = _inputs(device, case.size, case.batch)
    scene = renderer.scene(renderer.encode_source(pictures), source)
    exact = renderer.render(scene, driving[:1])
    work = sum(multiply_adds(lambda: renderer.render(scene, driving[:1]), {}).values())
    on_gpu = device.type == "cuda"
    renderer.run_frames_in(_TYPES[case.dtype], channels_last=on_gpu)
    if not on_gpu and case.dtype == "float32":
        renderer.run_frames_on_tiles()
    off = (renderer.render(scene, driving[:1]) - exact).abs().max().item()
    if compiled:
        renderer.decoder.compile()
        renderer.motion.hourglass.compile()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    seconds = _median(device, repeats, lambda: as_pixels(renderer.render(scene, driving)).cpu()) / case.batch
    return Rendered(
        case=case,
        frames_per_second=1 / seconds,
        milliseconds=1000 * seconds,
        stages=_stages(device, renderer, scene, driving, repeats),
        multiply_adds=work / 1e9,
        share=work / seconds / 1e12 / product_rate,
        error=None if case.dtype == "float32" else off,
        memory=torch.cuda.max_memory_allocated(device) / 1e9 if on_gpu else 0.0,
    )


def _stages(
    device: torch.device, renderer: FaceRenderer, scene: Scene, driving: Tensor, repeats: int
) -> dict[str, float]:
    """Milliseconds per frame of the parts, without those before them."""
    batch, dtype = len(driving), renderer.generator.fourth.weight.dtype
    height, width = scene.volume.shape[3:]
    condition = torch.randn(batch, 256, height, width, device=device, dtype=dtype)
    if device.type == "cuda":
        condition = condition.contiguous(memory_format=torch.channels_last)
    runs: dict[str, Callable[[], object]] = {
        "motion": lambda: renderer.motion(scene.compressed, scene.keypoints, driving),
        "decoder": lambda: renderer.decoder(condition),
    }
    return {name: 1000 * _median(device, repeats, run) / batch for name, run in runs.items()}


def _original(device: torch.device, size: int) -> Callable[[], object]:
    generator = frozen(_drawn(Generator().to(device)))
    pictures, source, driving = _inputs(device, size, 2)
    return lambda: generator(pictures.expand(2, -1, -1, -1), source.expand(2, -1, -1), driving).cpu()


def _renderer(device: torch.device) -> FaceRenderer:
    return FaceRenderer(_drawn(Generator().to(device)), _drawn(KeypointDetector().to(device)))


def _drawn(network: Network) -> Network:
    """`network` with weights that keep its maps within a few units."""
    generator = torch.Generator().manual_seed(0)
    for name, values in network.state_dict().items():
        if not values.is_floating_point() or "running" in name:
            continue
        fan_in = max(1, values[0].numel())
        wide = (2 / fan_in) ** 0.5 if values.dim() > 1 else 0.05
        drawn = torch.randn(values.shape, generator=generator) * wide
        if values.dim() == 1 and "norm" in name and name.endswith("weight"):
            drawn += 1
        values.copy_(drawn)
    return network


def _inputs(device: torch.device, size: int, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """A picture, keypoints of it and of the frames."""
    generator = torch.Generator().manual_seed(1)
    pictures = torch.rand(1, 3, size, size, generator=generator)
    source = torch.randn(1, _KEYPOINTS, 3, generator=generator) * 0.35
    driving = source + torch.randn(batch, _KEYPOINTS, 3, generator=generator) * 0.06
    return pictures.to(device), source.to(device), driving.to(device)


def _product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """1e12 multiply-adds per second of a square matrix product."""
    size = 8192 if device.type == "cuda" else 1024
    a = torch.randn(size, size, device=device).to(dtype)
    return size**3 / _median(device, 5, lambda: a @ a) / 1e12


def _median(device: torch.device, repeats: int, run: Callable[[], object]) -> float:
    """Seconds of one run, after two that warm up."""
    times = list(_times(device, repeats + 2, run))
    return statistics.median(times[2:])


def _times(device: torch.device, count: int, run: Callable[[], object]) -> Iterator[float]:
    for _ in range(count):
        _wait(device)
        before = time.perf_counter()
        run()
        _wait(device)
        yield time.perf_counter() - before


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(report: Report) -> str:
    """The report as Markdown."""
    lines = [f"{report.device}, torch {report.torch}, {report.threads} threads.", ""]
    for size, rate in report.original_frames_per_second.items():
        lines.append(f"The original's structure at {size}, float32: {rate:.3g} frames/s.")
    for name, rate in report.products.items():
        lines.append(f"Matrix product, {name}: {rate:.3g}e12 multiply-adds/s.")
    lines += ["", "| size | type | batch | frames/s | ms | motion | decoder | GMAC | share | error | GB |"]
    lines.append("|---" * 11 + "|")
    for r in report.rendered:
        error = "" if r.error is None else f"{r.error:.1e}"
        cells = (
            *(r.case.size, r.case.dtype, r.case.batch),
            *(f"{r.frames_per_second:.3g}", f"{r.milliseconds:.3g}"),
            *(f"{r.stages['motion']:.3g}", f"{r.stages['decoder']:.3g}"),
            *(f"{r.multiply_adds:.0f}", f"{r.share:.0%}", error, f"{r.memory:.1f}"),
        )
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Measure the SadTalker renderer on one device.")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256])
    parser.add_argument("--types", nargs="+", choices=_TYPES, default=None)
    parser.add_argument("--batches", type=int, nargs="+", default=None)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="on a CPU")
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument("--no-original", action="store_true", help="leave the original's structure out")
    parser.add_argument("--json", action="store_true", help="print for machines")
    chosen = parser.parse_args(arguments)
    device = torch.device(chosen.device)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    on_gpu = device.type == "cuda"
    types = chosen.types or (list(_TYPES) if on_gpu else ["float32"])
    batches = chosen.batches or ([1, 4, 16, 32] if on_gpu else [1])
    cases = [Case(size, name, batch) for size in chosen.sizes for name in types for batch in batches]
    report = measure(
        device, cases, repeats=chosen.repeats, compiled=chosen.compile, original=not chosen.no_original
    )
    sys.stdout.write((json.dumps(asdict(report), indent=1) if chosen.json else table(report)) + "\n")


if __name__ == "__main__":
    main()
