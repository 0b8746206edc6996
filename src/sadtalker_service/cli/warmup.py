"""`sadtalker warmup`: do the slow work of the first video in advance. `make install` runs it."""

from __future__ import annotations

import click

from sadtalker_service.engines.registry import load_engine
from sadtalker_service.media.stopwatch import Stopwatch
from sadtalker_service.settings import get_settings


@click.command("warmup")
@click.option("--engine", metavar="NAME", help="auto, mesh or another [default: ENGINE].")
def command(engine: str | None) -> None:
    """Compile and load everything in advance, so that no video waits for it."""
    watch = Stopwatch()
    with watch("warm up"):
        settings = get_settings()
        loaded = load_engine(engine or settings.engine, settings)
        loaded.warm_up()
        loaded.prepare_machine()
    click.echo(f"The {loaded.name} engine is warm after {watch.seconds['warm up']:.1f} s.")
