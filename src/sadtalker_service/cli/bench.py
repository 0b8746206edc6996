"""`sadtalker bench`: how fast it is on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from sadtalker_service.bench.cores import core_time, limited_to, stolen_share
from sadtalker_service.bench.machine import this_machine
from sadtalker_service.bench.memory import measure_memory
from sadtalker_service.bench.mesh import CASES, Tell, measure
from sadtalker_service.bench.table import page, update
from sadtalker_service.cli.spelling import SadTalkerCommand

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MEMORY_SECONDS = (10, 600)


@click.group("bench")
def command() -> None:
    """Measure the speed of an engine on this machine."""


@command.command("mesh", cls=SadTalkerCommand)
@click.option("--source_image", type=_FILE, default="examples/portrait.jpg", show_default=True)
@click.option("--driven_audio", type=_FILE, default="examples/speech.wav", show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Runs per median.")
@click.option("--cores", type=click.IntRange(min=1), default=2, show_default=True, help="Cores to use.")
@click.option("--memory", is_flag=True, help="Also the peak memory of 10 s and 10 minutes of video (slow).")
@click.option("--update", "page_path", type=_FILE, help="Write the table into this page too.")
@click.option("--json", "as_json", is_flag=True, help="Print the measurements for machines.")
def mesh(
    source_image: Path,
    driven_audio: Path,
    repeats: int,
    cores: int,
    memory: bool,
    page_path: Path | None,
    as_json: bool,
) -> None:
    """Measure the mesh engine: per stage and whole; cold, warm and cached; beside the encoder alone."""
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


@contextmanager
def _status(*, wanted: bool) -> Iterator[Tell]:
    console = Console(stderr=True, quiet=not wanted)
    with console.status("") as status:
        yield status.update
