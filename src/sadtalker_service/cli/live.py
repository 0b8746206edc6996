"""`sadtalker live`: run a process for live sessions, on this machine or another."""

from __future__ import annotations

from importlib import import_module

import click

from sadtalker_service.cli.service_settings import settings_with
from sadtalker_service.cli.worker import metrics_of_its_own
from sadtalker_service.files import keep_files_private


@click.command("live")
@click.option("--name", metavar="NAME", help="Name of the process, unique on this machine.")
@click.option(
    "--slots", type=click.IntRange(min=1), help="Sessions at once [default: LIVE_SLOTS, one per core]."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="TCP port on HOST, for an API on another machine. 0: Unix socket only [default: LIVE_PORT].",
)
def command(name: str | None, slots: int | None, port: int | None) -> int:
    """Carry live sessions for a service that runs elsewhere. REDIS_URL, QUEUE_URL and ARTEFACT_URL locate it.

    The API passes the connections of clients on to LIVE_ADDRESS. With LIVE_PUBLIC_URL, clients connect to
    this process directly.
    """
    keep_files_private()
    settings = settings_with(live_slots=slots, live_port=port)
    with metrics_of_its_own(settings):
        # imported after the environment is set, because the metrics choose their folder on import
        code: int = import_module("sadtalker_service.worker.live.process").run_live_worker(settings, name)
    return code
