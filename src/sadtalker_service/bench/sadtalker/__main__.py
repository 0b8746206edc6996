"""Command line of the measurement for a machine that has only torch."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from sadtalker_service.bench.sadtalker.choices import device_named, planned
from sadtalker_service.bench.sadtalker.kernels import profiles
from sadtalker_service.bench.sadtalker.measuring import measure
from sadtalker_service.bench.sadtalker.page import page
from sadtalker_service.bench.sadtalker.report import Plan, Report
from sadtalker_service.bench.sadtalker.subjects import TYPES
from sadtalker_service.errors import SadTalkerError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measurement. Prints the result to standard output and the progress to standard error."""
    chosen = _parser().parse_args(arguments)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    try:
        device = device_named(chosen.device)
        plan = planned(
            device,
            sizes=chosen.sizes,
            precisions=chosen.precisions,
            batches=chosen.batches,
            repeats=chosen.repeats,
            clip_seconds=chosen.clip_seconds,
            compiled=chosen.compile,
            original=not chosen.no_original,
            budget=chosen.budget,
        )
    except SadTalkerError as error:
        _say(error.message)
        sys.exit(error.exit_code)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what ends it early loses nothing
    if chosen.profile:
        _profile(device, plan, chosen.output)
        return
    output = chosen.output
    report = measure(
        device, plan, lambda what: _say(f"{what} ..."), lambda found: _keep(found, output) if output else None
    )
    sys.stdout.write((json.dumps(asdict(report), indent=1) if chosen.json else page(report)) + "\n")


def _keep(report: Report, path: Path) -> None:
    """Replace the file, so that it is whole at any time."""
    _replace(path, json.dumps(asdict(report), indent=1))


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(text)
    unfinished.replace(path)


def _profile(device: torch.device, plan: Plan, path: Path | None) -> None:
    """Print a table for each case as it comes. What ends it early, loses only the case that was running."""
    written: list[str] = []
    for line in profiles(device, plan, _say):
        written.append(line)
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        if path:
            _replace(path, "\n".join(written) + "\n")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sadtalker_service.bench.sadtalker",
        description="Measure the SadTalker networks on one device.",
    )
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1 ...; auto is the first GPU, or else the CPU"
    )
    parser.add_argument("--sizes", type=int, nargs="+", help="frame sizes, multiples of 128")
    parser.add_argument("--precisions", nargs="+", choices=TYPES)
    parser.add_argument("--batches", type=int, nargs="+", help="frames at once")
    parser.add_argument("--repeats", type=int, help="runs per median")
    parser.add_argument("--clip-seconds", type=float, help="length of the whole video, or 0 for none")
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    parser.add_argument(
        "--compile", action="store_true", help="let torch compile everything that runs for every frame"
    )
    parser.add_argument("--no-original", action="store_true", help="do not time the original's structure")
    parser.add_argument("--budget", type=float, default=0.0, help="seconds after which no case begins")
    parser.add_argument(
        "--output",
        type=Path,
        help="file with everything so far, replaced after each case: JSON, of a profile Markdown",
    )
    parser.add_argument(
        "--profile", action="store_true", help="instead, print the kernels of each size and batch size"
    )
    parser.add_argument("--json", action="store_true", help="print for machines")
    return parser


if __name__ == "__main__":
    main()
