"""`sadtalker inference`: one set of networks for all workers of a machine."""

from __future__ import annotations

from pathlib import Path

import click

from sadtalker_service.cli.service_settings import settings_with
from sadtalker_service.engines.registry import AUTO, best_engine
from sadtalker_service.engines.sadtalker.inference_server.process import run_server
from sadtalker_service.files import keep_files_private
from sadtalker_service.telemetry.logs import configure_logging

_ENGINE = "sadtalker"


@click.command("inference")
@click.option(
    "--socket",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Where it listens; workers find it by SADTALKER_INFERENCE.",
)
def command(socket: Path) -> None:
    """Run the networks of the sadtalker engine for all workers of this machine, until SIGTERM or Ctrl-C.

    `sadtalker serve` starts one by itself. Where `sadtalker worker` is run several times beside a GPU, start
    one and set SADTALKER_INFERENCE to its socket: the networks are in the GPU's memory once, and videos that
    are made at the same time share batches. Where ENGINE means sadtalker it is warm from the start.
    """
    keep_files_private()
    settings = settings_with()
    configure_logging(settings, "inference")

    def is_default() -> bool:
        return (best_engine(settings) if settings.engine == AUTO else settings.engine) == _ENGINE

    run_server(settings, socket, is_default)
