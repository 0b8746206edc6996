"""Real servers for tests: the two kinds that the service uses, each on a Unix socket in a short temporary
folder."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import redis

from sadtalker_service.store.connections import connect
from sadtalker_service.supervisor.embedded_stores import cache_server_argv, queue_server_argv

CACHE_BYTES = 64_000_000


class StoreServer:
    """A server that a test can stop, kill and restart with the same data."""

    def __init__(self, argv: Callable[[Path, Path], tuple[str, ...]]) -> None:
        """`argv`: (socket, data folder) -> command."""
        self._folder = Path(tempfile.mkdtemp(prefix="st-"))  # pytest's own paths are too long for a socket
        self.socket = self._folder / "s"
        self.url = f"unix://{self.socket}"
        self._argv = argv(self.socket, self._folder)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """Its data folder."""
        return self._folder

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._process = subprocess.Popen(self._argv, stdout=subprocess.DEVNULL, start_new_session=True)
        until = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.02)

    def client(self) -> redis.Redis:
        """A client like the service's own."""
        return connect(self.url)

    def kill(self) -> None:
        """`kill -9` once no confirmed write is only in memory. A server that writes to the disk once a second
        holds back new data while the disk is busy."""
        written(self.client())
        self.kill_at_once()

    def kill_at_once(self) -> None:
        """`kill -9`, whatever is still only in memory."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it cleanly."""
        self._end(signal.SIGTERM)

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)
            self._process.wait(60)

    def _answers(self) -> bool:
        with redis.Redis(unix_socket_path=str(self.socket), retry=None) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


def written(client: redis.Redis) -> None:
    """Wait until a server has passed its log to the system, which keeps it if the server is killed."""
    until = time.monotonic() + 60
    while int(client.info("persistence").get("aof_buffer_length", 0)):
        assert time.monotonic() < until, "the server does not write its log"
        time.sleep(0.01)


def queue_store() -> StoreServer:
    """A queue server, not yet started."""
    return StoreServer(queue_server_argv)


def cache_store() -> StoreServer:
    """A cache server, not yet started."""
    return StoreServer(lambda socket, folder: cache_server_argv(socket, folder, CACHE_BYTES))
