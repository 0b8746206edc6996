"""`sadtalker inference`: one copy of the networks for all workers on a machine."""

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
    help="Socket to listen on. Set SADTALKER_INFERENCE to this path for the workers.",
)
def command(socket: Path) -> None:
    """Run the networks of the sadtalker engine for all workers on this machine, until SIGTERM or Ctrl-C.

    `sadtalker serve` starts an inference server automatically. If you run several `sadtalker worker` on a
    machine with a GPU, start one server and set SADTALKER_INFERENCE to its socket. The GPU then holds the
    networks once, and videos rendered at the same time share batches. If ENGINE selects sadtalker, the
    server warms up at the start.
    """
    keep_files_private()
    settings = settings_with()
    configure_logging(settings, "inference")

    def is_default() -> bool:
        return (best_engine(settings) if settings.engine == AUTO else settings.engine) == _ENGINE

    run_server(settings, socket, is_default)
