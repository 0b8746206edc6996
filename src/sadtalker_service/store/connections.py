"""Connections to the two servers that speak the Redis protocol: where they are, how they are reached.

The cache's server may lose everything at any time. The queue's server holds what was accepted and must not.
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
from sadtalker_service.settings import Settings

LONGEST_SOCKET_PATH = 100
"""Bytes. Linux takes 107, macOS 103; a server adds nothing, but a connection's name may."""

LONGEST_BLOCK_SECONDS = 4.0
"""A blocking command (XREAD BLOCK) must wait for less than the socket's timeout, or it looks like a dead
server."""

OLDEST_SERVER = (6, 2)
"""ZRANGE with BYSCORE, GETDEL and XAUTOCLAIM came with Redis 6.2; every Valkey has them."""

MOST_WATCHERS = 10_000
"""Connections of an asyncio client at one time: each client of ours that waits for events or for pieces of a
video holds one while it waits. The library's own limit of 100 would make the rest look like a dead server;
what bounds them is the number of open files, and the server's `maxclients`."""

_RETRY_AFTER = 2.0
_SOCKET_SECONDS = 5.0
_CONNECT_SECONDS = 2.0
_REFUSAL = re.compile(r"\b(MISCONF|OOM|READONLY|LOADING|MASTERDOWN|NOREPLICAS|BUSY)\b")
"""Words of answers of a server that is there and cannot do its work at this moment."""


@dataclass(frozen=True)
class StoreUrls:
    """Where the two servers are."""

    cache: str
    queue: str
    embedded_cache: bool
    """Whether the cache's server is one that `sadtalker serve` starts."""
    embedded_queue: bool

    @property
    def shared(self) -> bool:
        """Whether one server is both."""
        return self.cache == self.queue


def store_urls(settings: Settings) -> StoreUrls:
    """The addresses of the settings; the sockets of the embedded servers where none is set."""
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
    """The folder of sockets, locks and metrics files, made if need be, for this user alone (0700).

    Raises `StoreMisconfigured` where it cannot be made, or belongs to somebody else.
    """
    folder = _run_path(settings)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
            raise StoreMisconfigured(f"{folder} is not a folder of this user; remove it, or change DATA_DIR.")
        if stat.S_IMODE(facts.st_mode) != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        raise StoreMisconfigured(f"Cannot make the folder {folder}: {error.strerror}.") from error
    return folder


def connect(url: str, *, retries: bool = True) -> redis.Redis:
    """A client with a pool of connections, made when they are needed. Safe to use from several threads.

    A command fails after some seconds at most: what waits for an answer has somebody waiting for it.
    `retries` bridges a restart of the server; without it (for the cache, which one can do without) a command
    is only tried once more, over a new connection.
    """
    retry = Retry(*_persistence(retries=retries))
    return redis.Redis.from_url(url, retry=retry, decode_responses=False, **_options(url))


_SHARED_CONNECTIONS = 4
_TURN_SECONDS = 5.0
"""Longest wait for a connection that is free."""


def connect_async(url: str, *, retries: bool = True) -> redis.asyncio.Redis:
    """As `connect`, for asyncio."""
    retry = AsyncRetry(*_persistence(retries=retries))
    return redis.asyncio.Redis.from_url(
        url, retry=retry, decode_responses=False, max_connections=MOST_WATCHERS, **_options(url)
    )


def connect_async_shared(url: str) -> redis.asyncio.Redis:
    """As `connect_async`, for short questions: they take turns on a few connections.

    Fifty clients that come at once would otherwise open fifty connections, and wait longer for them than for
    the answers.
    """
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=_SHARED_CONNECTIONS,
        timeout=_TURN_SECONDS,
        retry=AsyncRetry(*_persistence(retries=True)),
        decode_responses=False,
        **_options(url),
    )
    return redis.asyncio.Redis.from_pool(pool)


def broker_url(url: str) -> str:
    """The same server as kombu spells it."""
    if not _is_unix(url):
        return url
    parts = urlsplit(url)
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{login}{parts.path}?virtual_host={database}"


def check_queue_server(client: redis.Redis, shared: bool) -> tuple[str, ...]:
    """What to warn of in an external server of the queue; `shared`: it is the cache's server too.

    Raises `StoreMisconfigured` if it is not there, too old, or could evict what was accepted.
    """
    try:
        memory, server, persistence = (
            client.info(section) for section in ("memory", "server", "persistence")
        )
    except ResponseError as error:  # a rented server may forbid INFO
        return (f"The queue's server does not tell its settings ({error}): they were not checked.",)
    except RedisError as error:
        raise StoreMisconfigured(f"The queue's server does not answer: {error}") from error
    version = str(server.get("redis_version", "0"))
    if tuple(int(number) for number in version.split(".")[:2]) < OLDEST_SERVER:
        raise StoreMisconfigured(
            f"The queue's server is Redis {version}; it must be 6.2 or newer, or Valkey."
        )
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        raise StoreMisconfigured(
            f"The queue's server evicts jobs when its memory is full (maxmemory-policy {policy}). Set"
            " QUEUE_URL to a server with maxmemory-policy noeviction, or use volatile-lru where there is only"
            " one server."
        )
    return tuple(_weak_points(policy, bool(persistence.get("aof_enabled")), shared))


def _weak_points(policy: str, appends: bool, shared: bool) -> Iterator[str]:
    if shared and policy == "noeviction":
        yield (
            "One server with maxmemory-policy noeviction is cache and queue: once cached data has filled its"
            " memory, no request is taken. Set QUEUE_URL to a server of its own, or use volatile-lru."
        )
    if not shared and policy != "noeviction":
        yield (
            f"The queue's server may forget ended sessions early (maxmemory-policy {policy}); use noeviction."
        )
    if not appends:
        yield "The queue's server does not write an append-only file: its restart may lose waiting requests."


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what keeps a server from its work into `StoreUnavailable`; a wrong command stays what it is."""
    try:
        yield
    except (NoConnection, NoAnswer) as error:
        raise StoreUnavailable("The queue's server does not answer.", retry_after=_RETRY_AFTER) from error
    except (OutOfMemoryError, ReadOnlyError) as error:
        raise _refused(error) from error
    except ResponseError as error:
        # inside of a script the server's refusal comes with words around it
        if not _REFUSAL.search(str(error)):
            raise
        raise _refused(error) from error


def _refused(error: ResponseError) -> StoreUnavailable:
    reason = "its memory is full" if "OOM" in str(error) or isinstance(error, OutOfMemoryError) else None
    reason = reason or ("it cannot write to its disk" if "MISCONF" in str(error) else "it is not ready")
    return StoreUnavailable(f"The queue's server takes nothing on: {reason}.", retry_after=_RETRY_AFTER)


def _options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "protocol": 2,  # one shape of answers, whichever version of the library is installed
        "socket_timeout": _SOCKET_SECONDS,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "health_check_interval": 15,  # after a restart of the server an idle connection is found dead in time
        "client_name": "sadtalker",
    }
    # a server on another machine may vanish without a word
    return options if _is_unix(url) else {**options, "socket_keepalive": True}


def _persistence(*, retries: bool) -> tuple[AbstractBackoff, int]:
    """Pauses between tries and their number: 0.2 s, 0.4 s, 0.5 s are as long as a restarted server needs, and
    no longer than a request may wait."""
    return (ExponentialBackoff(cap=0.5, base=0.1), 3) if retries else (NoBackoff(), 1)


def _is_unix(url: str) -> bool:
    return url.startswith("unix://")


def _socket_url(path: Path) -> str:
    return f"unix://{quote(str(path))}"


def _run_path(settings: Settings) -> Path:
    """`DATA_DIR/run`, or else a folder in the temporary directory, the same for the same `DATA_DIR`: the path
    of a socket may not be long."""
    data_dir = settings.data_dir.expanduser().absolute()
    folder = data_dir / "run"
    if len(os.fsencode(folder / "inference.sock")) <= LONGEST_SOCKET_PATH:
        return folder
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"sadtalker-{os.geteuid()}-{name}"
