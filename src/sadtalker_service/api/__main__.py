"""`python -m sadtalker_service.api`: the HTTP server, one process.

With `--fd NUMBER` it accepts on an inherited listening socket, otherwise it listens on HOST and PORT.
"""

from __future__ import annotations

import asyncio
import gc
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
from sadtalker_service.api.delivery.live_relay import CUT_BYTES
from sadtalker_service.api.http_protocol import GuardedProtocol, connection_limits
from sadtalker_service.api.shutdown import Drain
from sadtalker_service.api.web_socket import GuardedWebSocket
from sadtalker_service.errors import SadTalkerError
from sadtalker_service.files import keep_files_private
from sadtalker_service.jobs.janitor import run_janitor
from sadtalker_service.settings import Settings, get_settings
from sadtalker_service.telemetry.logs import configure_logging

log = structlog.get_logger(__name__)

_KEEP_ALIVE_SECONDS = 20
"""Keeps the connection of clients that poll every few seconds."""
_PING_SECONDS = 10.0
"""A WebSocket client that does not answer a ping for so long is gone."""
_FINISH_SECONDS = 20
"""How long responses may still run after the process stops listening. Streams end at once."""


class DrainingServer(uvicorn.Server):
    """A server that reports not ready for a while before it stops listening, and then exits with 0."""

    def __init__(self, config: uvicorn.Config, drain: Drain, seconds: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._seconds = seconds

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Context manager that handles SIGTERM and SIGINT in the event loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        if self._drain.begun:  # a second signal stops at once
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
    gc.freeze()  # as the command does, so that it is gone sooner
    sys.exit(0 if server.started else 3)


def _config(app: object, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # FastAPI is an ASGI application
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=partial(GuardedProtocol, limits=connection_limits(settings)),  # type: ignore[arg-type]  # makes one
        ws=partial(GuardedWebSocket, send_seconds=settings.send_timeout_seconds),  # type: ignore[arg-type]  # as above
        ws_max_size=CUT_BYTES,
        ws_ping_interval=_PING_SECONDS,
        ws_ping_timeout=_PING_SECONDS,
        ws_per_message_deflate=False,  # video and sound do not get smaller
        log_config=None,  # telemetry/logs.py configures all logs
        access_log=False,  # api/requests.py logs requests
        server_header=False,
        proxy_headers=False,  # nothing here uses the client's address
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_FINISH_SECONDS,
    )


def _given_socket(fd: int) -> socket.socket:
    listener = socket.socket(fileno=fd)
    listener.set_inheritable(False)  # the inspection processes do not need it
    return listener


def _allow_connections() -> None:
    """Raise the limit on open files to the maximum: each client of a stream needs two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
