"""`sadtalker serve`: stores, API and workers, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from sadtalker_service.cli.service_settings import settings_with
from sadtalker_service.files import keep_files_private
from sadtalker_service.supervisor.service import run_service
from sadtalker_service.telemetry.logs import configure_logging


@click.command("serve")
@click.option("--host", metavar="ADDRESS", help="Where to listen; 0.0.0.0 for everybody [default: HOST].")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="TCP port; 0 takes a free one [default: PORT, 8000]."
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Processes that make videos; 0 if they run elsewhere [default: WORKERS, one per two cores].",
)
@click.option(
    "--data_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for everything that is kept [default: DATA_DIR].",
)
def command(host: str | None, port: int | None, workers: int | None, data_dir: Path | None) -> None:
    """Run the service: embedded stores, API and workers, until Ctrl-C or SIGTERM.

    With REDIS_URL and QUEUE_URL set, no store is started. What dies is started again.
    """
    keep_files_private()
    settings = settings_with(host=host, port=port, workers=workers, data_dir=data_dir)
    configure_logging(settings, "supervisor")
    run_service(settings, click.echo)
