"""`python -m sadtalker_service.api`: the HTTP server, one process.

With `--fd NUMBER` it accepts on a listening socket that it was given, else it listens on HOST and PORT.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click
import structlog
import uvicorn

from sadtalker_service.api.app import create_app
from sadtalker_service.api.http_protocol import GuardedProtocol, connection_limits
from sadtalker_service.api.shutdown import Drain
from sadtalker_service.errors import SadTalkerError
from sadtalker_service.files import keep_files_private
from sadtalker_service.jobs.janitor import run_janitor
from sadtalker_service.settings import Settings, get_settings
from sadtalker_service.telemetry.logs import configure_logging

log = structlog.get_logger(__name__)

_KEEP_ALIVE_SECONDS = 20
"""Clients that poll every few seconds keep their connection."""
_FINISH_SECONDS = 20
"""Answers that are under way when the process stops listening have so long to end; streams end at once."""


class DrainingServer(uvicorn.Server):
    """A server that, told to stop, says so for a while before it stops listening, and then ends with 0."""

    def __init__(self, config: uvicorn.Config, drain: Drain, seconds: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._seconds = seconds

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT in the loop while the block runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _told_to_stop(self) -> None:
        if self._drain.begun:  # a second time: at once
            self.should_exit = self.force_exit = True
            return
        log.info("api_draining", seconds=self._seconds)
        self._drain.begin()
        asyncio.get_running_loop().call_later(self._seconds, self._stop_listening)

    def _stop_listening(self) -> None:
        self.should_exit = True


@click.command()
@click.option("--fd", type=int, help="Number of a listening socket.")
def main(fd: int | None) -> None:
    """Serve until SIGTERM or SIGINT."""
    keep_files_private()
    settings = get_settings()
    configure_logging(settings, "api")
    _allow_connections()
    try:
        app = create_app(settings, janitor=run_janitor)
    except SadTalkerError as error:
        click.echo(f"sadtalker: {error.message}", err=True)
        sys.exit(error.exit_code)
    server = DrainingServer(_config(app, settings), app.state.drain, settings.drain_seconds)
    server.run(None if fd is None else [_given_socket(fd)])
    sys.exit(0 if server.started else 3)


def _config(app: object, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # FastAPI is an ASGI application
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=partial(GuardedProtocol, limits=connection_limits(settings)),  # type: ignore[arg-type]  # makes one
        ws="none",
        log_config=None,  # telemetry/logs.py has set up all of them
        access_log=False,  # api/requests.py tells of requests
        server_header=False,
        proxy_headers=False,  # nothing here asks for the client's address
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_FINISH_SECONDS,
    )


def _given_socket(fd: int) -> socket.socket:
    listener = socket.socket(fileno=fd)
    listener.set_inheritable(False)  # the processes that look at uploads have no use for it
    return listener


def _allow_connections() -> None:
    """As many open files as the system lets us have: each client of a stream needs two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
