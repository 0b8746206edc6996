"""`sadtalker worker`: run an additional worker, on this machine or another."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import click

from sadtalker_service.cli.service_settings import settings_with
from sadtalker_service.environment import set_environment
from sadtalker_service.errors import StartFailed
from sadtalker_service.files import keep_files_private
from sadtalker_service.jobs.queues import NORMAL, PREPARE, VIP
from sadtalker_service.settings import Settings
from sadtalker_service.telemetry.metrics_folder import fresh_metrics_folder


@click.command("worker")
@click.option(
    "--queues",
    default=f"{VIP},{NORMAL},{PREPARE}",
    show_default=True,
    metavar="LIST",
    help="Queues to work on, separated by commas. The first has priority.",
)
@click.option("--name", metavar="NAME", help="Name of the worker, unique on this machine.")
def command(queues: str, name: str | None) -> int:
    """Run a worker for a service that runs elsewhere. REDIS_URL, QUEUE_URL and ARTEFACT_URL locate it."""
    chosen = [queue.strip() for queue in queues.split(",") if queue.strip()]
    keep_files_private()
    settings = settings_with()
    with metrics_of_its_own(settings):
        # imported after the environment is set, because the metrics choose their folder on import
        code: int = import_module("sadtalker_service.worker.worker").run_worker(settings, chosen, name)
    return code


@contextmanager
def metrics_of_its_own(settings: Settings) -> Iterator[None]:
    """Context manager that serves `/metrics` for the processes of this worker, if `METRICS_PORT` is set.

    Otherwise they use the metrics folder of the parent process, which the API of `sadtalker serve` reads.
    """
    if not settings.metrics_port:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="sadtalker-metrics-") as folder:
        set_environment(fresh_metrics_folder(Path(folder)))
        metrics = import_module("sadtalker_service.telemetry.metrics")
        try:
            server = metrics.serve(settings.host, settings.metrics_port)
        except OSError as error:
            where = f"{settings.host}, port {settings.metrics_port}"
            raise StartFailed(f"Cannot serve /metrics on {where}: {error.strerror}.") from error
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
