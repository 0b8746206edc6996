"""Where the two servers are, how they are reached, and which of them are refused."""

from __future__ import annotations

import asyncio
import socketserver
import stat
import threading
from pathlib import Path

import pytest
import redis
from kombu import Connection
from tests.support.servers import StoreServer
from tests.support.store_urls import socket_path, without_password

from sadtalker_service.errors import StoreMisconfigured, StoreUnavailable
from sadtalker_service.settings import Settings
from sadtalker_service.store.connections import (
    LONGEST_SOCKET_PATH,
    broker_url,
    cache_socket,
    check_queue_server,
    connect,
    connect_async,
    queue_socket,
    run_dir,
    store_errors,
    store_urls,
)


def settings(tmp_path: Path, **values: object) -> Settings:
    return Settings.model_validate({"data_dir": tmp_path / "data", **values})


def test_without_addresses_both_servers_are_embedded(tmp_path: Path) -> None:
    urls = store_urls(settings(tmp_path))
    assert urls.embedded_cache
    assert urls.embedded_queue
    assert not urls.shared
    assert urls.cache.startswith("unix:///")


@pytest.mark.parametrize(
    "values",
    [{"redis_url": "redis://box:7000/2"}, {"redis_host": "box", "redis_port": 7000, "redis_db": 2}],
    ids=["url", "host"],
)
def test_one_address_is_cache_and_queue(tmp_path: Path, values: dict[str, object]) -> None:
    urls = store_urls(settings(tmp_path, **values))
    assert urls.cache == urls.queue == "redis://box:7000/2"
    assert urls.shared
    assert not urls.embedded_queue


def test_a_queue_of_its_own_leaves_the_cache_where_it_is(tmp_path: Path) -> None:
    both = store_urls(settings(tmp_path, redis_url="redis://a/0", queue_url="redis://b/0"))
    assert (both.cache, both.queue, both.shared) == ("redis://a/0", "redis://b/0", False)
    queue_only = store_urls(settings(tmp_path, queue_url="redis://b/0"))
    assert queue_only.embedded_cache
    assert not queue_only.embedded_queue


def test_run_folder_is_private_and_stable(tmp_path: Path) -> None:
    plain = settings(tmp_path)
    folder = run_dir(plain)
    assert folder == run_dir(plain)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    assert stat.S_IMODE(run_dir(plain).stat().st_mode) == 0o700


def test_a_long_data_folder_still_gives_short_sockets(tmp_path: Path) -> None:
    deep = settings(tmp_path, data_dir=tmp_path / ("long" * 30))
    other = settings(tmp_path, data_dir=tmp_path / ("long" * 31))
    folder = run_dir(deep)
    try:
        assert len(str(queue_socket(deep))) <= LONGEST_SOCKET_PATH
        assert len(str(cache_socket(deep))) <= LONGEST_SOCKET_PATH
        assert folder == run_dir(deep) != queue_socket(other).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        folder.rmdir()


def test_run_folder_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    plain = settings(tmp_path)
    plain.data_dir.mkdir()
    (plain.data_dir / "run").symlink_to(tmp_path)
    with pytest.raises(StoreMisconfigured, match="DATA_DIR"):
        run_dir(plain)


def test_data_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StoreMisconfigured, match="Cannot make the folder"):
        run_dir(settings(tmp_path))


def test_clients_reach_a_socket_whose_path_needs_quoting(tmp_path: Path, queue_server: StoreServer) -> None:
    odd = settings(tmp_path, data_dir=tmp_path / "a b%20?#ü")
    run_dir(odd)
    queue_socket(odd).symlink_to(queue_server.socket)
    url = store_urls(odd).queue
    assert socket_path(url) == queue_socket(odd)
    assert connect(url).ping()
    with Connection(broker_url(url)) as broker:
        broker.SimpleQueue("letters").put("hello")
    assert connect(url).llen("letters") == 1


def test_kombu_reaches_the_same_server_and_database(queue_server: StoreServer) -> None:
    with Connection(broker_url(f"{queue_server.url}?db=3")) as broker:
        broker.SimpleQueue("letters").put("hello")
    assert connect(f"{queue_server.url}?db=3").llen("letters") == 1
    assert broker_url("redis://box:6379/1") == "redis://box:6379/1"


async def _async_ping(url: str) -> bool:
    async with connect_async(url) as client:
        return bool(await client.ping())


def test_async_client_reaches_it(queue_server: StoreServer) -> None:
    assert asyncio.run(_async_ping(queue_server.url))


async def _ping_beside_watchers(url: str, watchers: int) -> tuple[bool, list[object]]:
    """What a ping gives while so many commands wait at the server, and what they give."""
    async with connect_async(url) as client:
        waiting = [asyncio.create_task(client.xread({"news": "0"}, block=4000)) for _ in range(watchers)]
        while len(await client.client_list()) <= watchers:
            await asyncio.sleep(0.02)
        answered = bool(await client.ping())
        await client.xadd("news", {"word": "now"})
        return answered, await asyncio.gather(*waiting, return_exceptions=True)


def test_hundreds_who_wait_do_not_keep_others_from_asking(queue_server: StoreServer) -> None:
    answered, heard = asyncio.run(asyncio.wait_for(_ping_beside_watchers(queue_server.url, 300), 30))
    assert answered
    assert [len(news) for news in heard if isinstance(news, list)] == [1] * 300


def test_client_survives_a_restart_of_the_server(queue_server: StoreServer) -> None:
    client = connect(queue_server.url)
    client.set("kept", "1")
    queue_server.kill()
    with pytest.raises(StoreUnavailable) as caught, store_errors():
        client.get("kept")
    assert caught.value.retry_after == 2.0
    queue_server.start()
    assert client.get("kept") == b"1"


def test_full_memory_is_unavailable_and_clears_by_itself(queue_server: StoreServer) -> None:
    client = connect(queue_server.url)
    script = client.register_script("return redis.call('set', KEYS[1], ARGV[1])")
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable, match="memory is full"), store_errors():
            client.set("a", "1")
        with pytest.raises(StoreUnavailable, match="memory is full"), store_errors():
            script(keys=["a"], args=["1"])
    finally:
        client.config_set("maxmemory", "0")
    with store_errors():
        client.set("a", "1")


def test_a_mistake_is_not_called_an_outage(queue_server: StoreServer) -> None:
    client = connect(queue_server.url)
    client.set("text", "x")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"), store_errors():
        client.lpush("text", "y")


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_server_that_may_evict_jobs_is_refused(queue_server: StoreServer, policy: str) -> None:
    client = connect(queue_server.url)
    client.config_set("maxmemory-policy", policy)
    try:
        with pytest.raises(StoreMisconfigured, match=f"evicts jobs.*{policy}.*QUEUE_URL"):
            check_queue_server(client, shared=True)
    finally:
        client.config_set("maxmemory-policy", "noeviction")


def test_embedded_queue_server_has_no_weak_point(queue_server: StoreServer) -> None:
    assert check_queue_server(connect(queue_server.url), shared=False) == ()


def test_one_server_for_both_should_evict_what_has_a_lifetime(queue_server: StoreServer) -> None:
    client = connect(queue_server.url)
    (warning,) = check_queue_server(client, shared=True)
    assert "volatile-lru" in warning
    client.config_set("maxmemory-policy", "volatile-lru")
    try:
        assert check_queue_server(client, shared=True) == ()
        (warning,) = check_queue_server(client, shared=False)
        assert "noeviction" in warning
    finally:
        client.config_set("maxmemory-policy", "noeviction")


def test_queue_without_a_file_is_warned_of(cache_server: StoreServer) -> None:
    client = connect(cache_server.url)
    client.config_set("maxmemory-policy", "noeviction")
    try:
        (warning,) = check_queue_server(client, shared=False)
        assert "append-only" in warning
    finally:
        client.config_set("maxmemory-policy", "allkeys-lru")


def test_absent_server_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(StoreMisconfigured, match="does not answer"):
        check_queue_server(connect(f"unix://{tmp_path}/nobody.sock"), shared=False)


def test_passwords_are_not_shown() -> None:
    assert without_password("redis://user:secret@box:6379/0?x=secret") == "redis://box:6379/0"


class _OldServer(socketserver.StreamRequestHandler):
    """Says about itself what Redis 5 said; takes every other command for good."""

    def handle(self) -> None:
        facts = b"redis_version:5.0.7\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n"
        while words := [self.rfile.readline() for _ in range(2 * int(self.rfile.readline()[1:] or 0))]:
            if words[1].strip() == b"INFO":
                self.wfile.write(b"$%d\r\n%s\r\n" % (len(facts), facts))
            else:
                self.wfile.write(b"+OK\r\n")


def test_server_that_is_too_old_is_refused() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _OldServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        with (
            connect(f"redis://127.0.0.1:{port}/0") as client,
            pytest.raises(StoreMisconfigured, match=r"Redis 5\.0\.7"),
        ):
            check_queue_server(client, shared=False)
        server.shutdown()
