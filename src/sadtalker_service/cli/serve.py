"""`sadtalker serve`: run the stores, the API and the workers until Ctrl-C."""

from __future__ import annotations

import ipaddress
import sys
from importlib import import_module
from pathlib import Path

import click

from sadtalker_service.cli.service_settings import settings_with
from sadtalker_service.errors import StartFailed
from sadtalker_service.files import keep_files_private
from sadtalker_service.settings import Settings
from sadtalker_service.supervisor.service import run_service
from sadtalker_service.telemetry.logs import configure_logging


@click.command("serve")
@click.option(
    "--host", metavar="ADDRESS", help="Address to listen on. 0.0.0.0 for all machines [default: HOST]."
)
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="TCP port. 0 picks a free one [default: PORT, 8000]."
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Worker processes. 0 if they run elsewhere [default: WORKERS, one per two cores].",
)
@click.option(
    "--data_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for all stored data [default: DATA_DIR].",
)
def command(host: str | None, port: int | None, workers: int | None, data_dir: Path | None) -> None:
    """Run the service: embedded stores, API and workers, until Ctrl-C or SIGTERM.

    With REDIS_URL and QUEUE_URL set, no store is started. A process that dies is restarted.
    """
    keep_files_private()
    settings = settings_with(host=host, port=port, workers=workers, data_dir=data_dir)
    configure_logging(settings, "supervisor")
    _check_publishing(settings)
    run_service(settings, click.echo, at_terminal=sys.stdout.isatty())


def _check_publishing(settings: Settings) -> None:
    """Raises `StartFailed` if a container's port is open to other machines and there are no keys, and
    `StoreMisconfigured` if the keys cannot be read. A container cannot see how its port is published, so
    `PUBLISH_ADDRESS` passes the address.
    """
    if not settings.publish_address or _is_loopback(settings.publish_address):
        return
    # imported only here, because the supervisor needs nothing else from the API
    if not import_module("sadtalker_service.api.access.security").load_keys(settings):
        raise StartFailed(
            f"The service does not start. Its port is published on {settings.publish_address}, and there are"
            " no API keys, so anyone who reaches that address can use it. Set API_KEYS or API_KEYS_FILE, or"
            " publish the port on 127.0.0.1 and set PUBLISH_ADDRESS=127.0.0.1."
        )


def _is_loopback(address: str) -> bool:
    """False for names, even `localhost`: container engines may publish a name on all addresses."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
