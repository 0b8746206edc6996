"""Connections to the two servers that speak the Redis protocol: their addresses and clients.

The cache server may lose everything at any time. The queue server stores accepted requests and must not lose
them.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import AbstractBackoff, ExponentialBackoff, NoBackoff
from redis.exceptions import (
    ConnectionError as NoConnection,
)
from redis.exceptions import (
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    TimeoutError as NoAnswer,
)
from redis.retry import Retry

from sadtalker_service.errors import StoreMisconfigured, StoreUnavailable
from sadtalker_service.files import make_private
from sadtalker_service.settings import Settings

LONGEST_SOCKET_PATH = 100
"""Bytes. Linux allows 107, macOS 103. A server adds nothing, but the name of a connection may."""

LONGEST_BLOCK_SECONDS = 4.0
"""A blocking command (XREAD BLOCK) must wait for less than the socket timeout. Otherwise the server would
look dead."""

OLDEST_SERVER = (6, 2)
"""Redis 6.2 introduced ZRANGE with BYSCORE, GETDEL and XAUTOCLAIM. Every Valkey has them."""

MOST_WATCHERS = 10_000
"""Simultaneous connections of an asyncio client. Each HTTP client that waits for events or for pieces of a
video holds one while it waits. With the library's own limit of 100, the server would look dead to the rest.
The real limits are the number of open files and the server's `maxclients`."""

OURS = frozenset({"artefacts", "cache", "cache-server", "checkpoints", "queue", "run", "scratch"})
"""Folders that the service creates in `DATA_DIR`."""

_RETRY_AFTER = 2.0
_SOCKET_SECONDS = 5.0
_CONNECT_SECONDS = 2.0
_REFUSAL = re.compile(r"\b(MISCONF|OOM|READONLY|LOADING|MASTERDOWN|NOREPLICAS|BUSY)\b")
"""Error words of a server that is running but cannot serve requests at the moment."""


@dataclass(frozen=True)
class StoreUrls:
    """Addresses of the two servers."""

    cache: str
    queue: str
    embedded_cache: bool
    """Whether `sadtalker serve` starts the cache server."""
    embedded_queue: bool

    @property
    def shared(self) -> bool:
        """Whether one server is both cache and queue."""
        return self.cache == self.queue


def store_urls(settings: Settings) -> StoreUrls:
    """The addresses in the settings, or the sockets of the embedded servers if none is set."""
    external = settings.redis_url
    if not external and settings.redis_host:
        external = f"redis://{settings.redis_host}:{settings.redis_port}/{settings.redis_db}"
    queue = settings.queue_url or external
    return StoreUrls(
        cache=external or _socket_url(cache_socket(settings)),
        queue=queue or _socket_url(queue_socket(settings)),
        embedded_cache=not external,
        embedded_queue=not queue,
    )


def cache_socket(settings: Settings) -> Path:
    """Unix socket of the embedded cache server."""
    return _run_path(settings) / "cache.sock"


def queue_socket(settings: Settings) -> Path:
    """Unix socket of the embedded queue server."""
    return _run_path(settings) / "queue.sock"


def run_dir(settings: Settings) -> Path:
    """Folder of sockets, locks and metrics files, created if necessary, private to this user (0700).

    Raises `StoreMisconfigured` if it cannot be created or belongs to another user.
    """
    folder = _run_path(settings)
    try:
        _make_data_dir_private(settings.data_dir.expanduser().absolute())
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
            raise StoreMisconfigured(f"{folder} is not a folder of this user. Remove it, or change DATA_DIR.")
        if stat.S_IMODE(facts.st_mode) != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        raise StoreMisconfigured(f"Cannot make the folder {folder}: {error.strerror}.") from error
    return folder


def _make_data_dir_private(data_dir: Path) -> None:
    """Make `DATA_DIR` private, and our folders in it, which an earlier version left accessible.

    A `DATA_DIR` with other content (a home folder, `/srv`) is unchanged, because it may be shared on purpose.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    entries = tuple(data_dir.iterdir())
    ours = [entry for entry in entries if entry.name in OURS and entry.is_dir() and not entry.is_symlink()]
    for folder in ours if len(ours) < len(entries) else (data_dir, *ours):
        make_private(folder)


def connect(url: str, *, retries: bool = True) -> redis.Redis:
    """A client with a connection pool. Connections open on demand. Safe to use from several threads.

    A command fails after a few seconds at most, because a user is usually waiting for the answer. `retries`
    bridges a restart of the server. Without it (for the cache, which is optional) a command is tried only
    once more, over a new connection.
    """
    retry = Retry(*_retry_policy(retries=retries))
    return redis.Redis.from_url(url, retry=retry, decode_responses=False, **_options(url))


_SHARED_CONNECTIONS = 4
_POOL_WAIT_SECONDS = 5.0
"""Longest wait for a free connection."""


def connect_async(url: str, *, retries: bool = True) -> redis.asyncio.Redis:
    """Like `connect`, but for asyncio."""
    retry = AsyncRetry(*_retry_policy(retries=retries))
    return redis.asyncio.Redis.from_url(
        url, retry=retry, decode_responses=False, max_connections=MOST_WATCHERS, **_options(url)
    )


def connect_async_shared(url: str) -> redis.asyncio.Redis:
    """Like `connect_async`, but for short commands, which share a few connections.

    Otherwise, fifty simultaneous clients would open fifty connections and wait longer for them than for the
    answers.
    """
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=_SHARED_CONNECTIONS,
        timeout=_POOL_WAIT_SECONDS,
        retry=AsyncRetry(*_retry_policy(retries=True)),
        decode_responses=False,
        **_options(url),
    )
    return redis.asyncio.Redis.from_pool(pool)


def broker_url(url: str) -> str:
    """The same server in kombu's notation."""
    if not _is_unix(url):
        return url
    parts = urlsplit(url)
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{login}{parts.path}?virtual_host={database}"


def check_queue_server(client: redis.Redis, shared: bool) -> tuple[str, ...]:
    """Warnings about the settings of an external queue server. `shared`: it is the cache server too.

    Raises `StoreMisconfigured` if the server is unreachable, too old, or could evict accepted requests.
    """
    try:
        memory, server, persistence = (
            client.info(section) for section in ("memory", "server", "persistence")
        )
    except ResponseError as error:  # a managed server may forbid INFO
        return (f"The queue server does not report its settings ({error}). They were not checked.",)
    except RedisError as error:
        raise StoreMisconfigured(f"The queue server does not answer: {error}") from error
    version = str(server.get("redis_version", "0"))
    if tuple(int(number) for number in version.split(".")[:2]) < OLDEST_SERVER:
        raise StoreMisconfigured(f"The queue server is Redis {version}. It must be 6.2 or newer, or Valkey.")
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        raise StoreMisconfigured(
            f"The queue server evicts jobs when its memory is full (maxmemory-policy {policy}). Set"
            " QUEUE_URL to a server with maxmemory-policy noeviction, or use volatile-lru if there is only"
            " one server."
        )
    return tuple(_setting_warnings(policy, bool(persistence.get("aof_enabled")), shared))


def _setting_warnings(policy: str, appends: bool, shared: bool) -> Iterator[str]:
    if shared and policy == "noeviction":
        yield (
            "One server with maxmemory-policy noeviction is both cache and queue. Once cached data fills its"
            " memory, it accepts no requests. Set QUEUE_URL to a separate server, or use volatile-lru."
        )
    if not shared and policy != "noeviction":
        yield (
            f"The queue server may evict ended sessions early (maxmemory-policy {policy}). Use noeviction."
        )
    if not appends:
        yield "The queue server does not write an append-only file. Its restart may lose waiting requests."


@contextmanager
def store_errors() -> Iterator[None]:
    """Context manager that turns errors of an unavailable server into `StoreUnavailable`.

    The error of a wrong command is unchanged.
    """
    try:
        yield
    except (NoConnection, NoAnswer) as error:
        raise StoreUnavailable("The queue server does not answer.", retry_after=_RETRY_AFTER) from error
    except (OutOfMemoryError, ReadOnlyError) as error:
        raise _unavailable(error) from error
    except ResponseError as error:
        # In a script, the server wraps its error in other text.
        if not _REFUSAL.search(str(error)):
            raise
        raise _unavailable(error) from error


def _unavailable(error: ResponseError) -> StoreUnavailable:
    reason = "its memory is full" if "OOM" in str(error) or isinstance(error, OutOfMemoryError) else None
    reason = reason or ("it cannot write to its disk" if "MISCONF" in str(error) else "it is not ready")
    return StoreUnavailable(f"The queue server accepts no data: {reason}.", retry_after=_RETRY_AFTER)


def _options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "protocol": 2,  # one response format for all versions of the library
        "socket_timeout": _SOCKET_SECONDS,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "health_check_interval": 15,  # detects dead idle connections in time after a server restart
        "client_name": "sadtalker",
    }
    # A server on another machine may disappear without closing its connections.
    return options if _is_unix(url) else {**options, "socket_keepalive": True}


def _retry_policy(*, retries: bool) -> tuple[AbstractBackoff, int]:
    """Delays between retries, and their number.

    0.2 s, 0.4 s and 0.5 s cover a server restart, and are no longer than a request may wait.
    """
    return (ExponentialBackoff(cap=0.5, base=0.1), 3) if retries else (NoBackoff(), 1)


def _is_unix(url: str) -> bool:
    return url.startswith("unix://")


def _socket_url(path: Path) -> str:
    return f"unix://{quote(str(path))}"


def _run_path(settings: Settings) -> Path:
    """`DATA_DIR/run`, or a folder in the temporary directory if that path is too long for a socket.

    The same `DATA_DIR` always gives the same folder.
    """
    data_dir = settings.data_dir.expanduser().absolute()
    folder = data_dir / "run"
    if len(os.fsencode(folder / "live-012345.sock")) <= LONGEST_SOCKET_PATH:
        return folder
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"sadtalker-{os.geteuid()}-{name}"
