"""`sadtalker worker`: one more process that makes videos, on this machine or another."""

from __future__ import annotations

import click

from sadtalker_service.cli.service_settings import settings_with
from sadtalker_service.jobs.queues import NORMAL, PREPARE, VIP
from sadtalker_service.jobs.worker import run_worker


@click.command("worker")
@click.option(
    "--queues",
    default=f"{VIP},{NORMAL},{PREPARE}",
    show_default=True,
    metavar="LIST",
    help="What it does, the first before the others, separated by commas.",
)
@click.option("--name", metavar="NAME", help="Name that no other worker on this machine has.")
def command(queues: str, name: str | None) -> int:
    """Work for a service that runs elsewhere: REDIS_URL, QUEUE_URL and ARTEFACT_URL say where."""
    chosen = [queue.strip() for queue in queues.split(",") if queue.strip()]
    return run_worker(settings_with(), chosen, name)
