"""`sadtalker bench`: measure the speed of an engine on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console

from sadtalker_service.bench.cores import core_time, limited_to, stolen_share
from sadtalker_service.bench.machine import this_machine
from sadtalker_service.bench.memory import measure_memory
from sadtalker_service.bench.mesh import CASES, Tell, measure
from sadtalker_service.bench.sadtalker.page import page as networks_page
from sadtalker_service.bench.table import page, update
from sadtalker_service.cli.spelling import SadTalkerCommand
from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.extras import how_to_get
from sadtalker_service.settings import get_settings
from sadtalker_service.telemetry.logs import command_logging

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MEMORY_SECONDS = (10, 600)
_NETWORKS = "sadtalker_service.bench.sadtalker"
"""Its modules need torch, so they are imported only by the command that uses them."""


@click.group("bench")
def command() -> None:
    """Measure the speed of an engine on this machine."""


@command.command("mesh", cls=SadTalkerCommand)
@click.option("--source_image", type=_FILE, default="examples/portrait.jpg", show_default=True)
@click.option("--driven_audio", type=_FILE, default="examples/speech.wav", show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Runs per median.")
@click.option("--cores", type=click.IntRange(min=1), default=2, show_default=True, help="Cores to use.")
@click.option("--memory", is_flag=True, help="Also measure peak memory for 10 s and 10 min of video (slow).")
@click.option("--update", "page_path", type=_FILE, help="Also write the table into this page.")
@click.option("--json", "as_json", is_flag=True, help="Print the measurements as JSON.")
def mesh(
    source_image: Path,
    driven_audio: Path,
    repeats: int,
    cores: int,
    memory: bool,
    page_path: Path | None,
    as_json: bool,
) -> None:
    """Measure each stage and the whole mesh engine, cold, warm and cached, and the encoder alone."""
    with limited_to(cores), _status(wanted=not as_json) as tell:
        machine, before = this_machine(), core_time()
        measured = [measure(c, source_image, driven_audio, repeats=repeats, tell=tell) for c in CASES]
        tell("peak memory")
        used = measure_memory(source_image, driven_audio, _MEMORY_SECONDS) if memory else []
    stolen = stolen_share(before, core_time())
    text = page(machine, stolen, measured, used)
    if page_path:
        update(page_path, text)
    if as_json:
        values = {"machine": machine, "stolen": stolen, "cases": measured, "memory": used}
        click.echo(json.dumps(values, default=asdict))
    else:
        click.echo(text)


@command.command("sadtalker", cls=SadTalkerCommand)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option("--size", "sizes", type=int, multiple=True, help="Frame size in pixels. Can be repeated.")
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    multiple=True,
    help="Number format of the networks. Can be repeated.",
)
@click.option(
    "--batch_size",
    "batches",
    type=click.IntRange(min=1),
    multiple=True,
    help="Frames per batch. Can be repeated.",
)
@click.option("--repeats", type=click.IntRange(min=1), help="Runs per median.")
@click.option("--clip_seconds", type=click.FloatRange(min=0), help="Length of the whole video. 0 skips it.")
@click.option("--compile", "compiled", is_flag=True, help="Compile the per-frame networks with torch.")
@click.option("--budget", type=click.FloatRange(min=0), default=0, help="Seconds after which no case begins.")
@click.option("--no_original", is_flag=True, help="Do not time the original's structure for comparison.")
@click.option("--json", "as_json", is_flag=True, help="Print the measurements as JSON.")
def sadtalker(
    device: str,
    sizes: tuple[int, ...],
    precisions: tuple[str, ...],
    batches: tuple[int, ...],
    repeats: int | None,
    clip_seconds: float | None,
    compiled: bool,
    budget: float,
    no_original: bool,
    as_json: bool,
) -> None:
    """Measure each stage and the whole of the SadTalker networks, compared with the original's structure.

    No checkpoints are needed. The defaults depend on the device. A GPU run takes minutes. On a CPU every
    frame takes seconds.
    """
    if find_spec("torch") is None:
        raise EngineUnavailable(f"torch is not installed. {how_to_get('sadtalker')}")
    choices, measuring = (import_module(f"{_NETWORKS}.{name}") for name in ("choices", "measuring"))
    place = choices.device_named(device)
    plan = choices.planned(
        place,
        sizes=sizes,
        precisions=precisions,
        batches=batches,
        repeats=repeats,
        clip_seconds=clip_seconds,
        compiled=compiled,
        original=not no_original,
        budget=budget,
    )
    with _status(wanted=not as_json) as tell:
        report = measuring.measure(place, plan, tell)
    click.echo(json.dumps(asdict(report)) if as_json else networks_page(report))


@contextmanager
def _status(*, wanted: bool) -> Iterator[Tell]:
    console = Console(stderr=True, quiet=not wanted)
    with command_logging(get_settings()), console.status("") as status:
        yield status.update
