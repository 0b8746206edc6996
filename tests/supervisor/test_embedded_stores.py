"""The embedded servers: private, durable where they must be, and never two on one file."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from tests.support.running_service import is_alive, until
from tests.support.servers import StoreServer

from sadtalker_service.errors import StartFailed, StoreMisconfigured, StoreUnavailable
from sadtalker_service.settings import Settings
from sadtalker_service.store.connections import (
    check_queue_server,
    connect,
    queue_socket,
    run_dir,
    store_errors,
    store_urls,
)
from sadtalker_service.supervisor.child import ChildSpec
from sadtalker_service.supervisor.embedded_stores import embedded_servers, server_program
from sadtalker_service.supervisor.listener import address_for_clients, is_public, listen
from sadtalker_service.supervisor.lock import only_service


@pytest.fixture
def settings() -> Iterator[Settings]:
    folder = Path(tempfile.mkdtemp(prefix="st-"))
    yield Settings(data_dir=folder, cache_maxmemory=50_000_000)
    shutil.rmtree(folder)


class Started:
    """Servers of the specifications, started as the supervisor does."""

    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, spec: ChildSpec) -> None:
        assert spec.prepare is not None
        assert spec.ready is not None
        spec.prepare()
        process = subprocess.Popen(spec.argv, env=dict(spec.env), stdout=subprocess.DEVNULL)
        self.processes[spec.name] = process
        until(spec.ready, f"{spec.name} answers")

    def end(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)
        self.processes[name].wait(20)


@pytest.fixture
def started(settings: Settings) -> Iterator[Started]:
    run_dir(settings)
    begun = Started()
    yield begun
    for process in begun.processes.values():
        process.kill()
        process.wait(20)


def test_the_program_comes_with_the_package() -> None:
    assert server_program().name == "valkey-server"
    said = subprocess.run([server_program(), "--version"], capture_output=True, text=True, check=True).stdout
    assert "Valkey" in said


def test_queue_forgets_nothing_and_cache_may_forget(settings: Settings, started: Started) -> None:
    for spec in embedded_servers(settings):
        started.start(spec)
    urls = store_urls(settings)
    queue, cache = connect(urls.queue), connect(urls.cache)
    assert check_queue_server(queue, shared=False) == ()
    assert cache.config_get("maxmemory*")["maxmemory-policy"] == "allkeys-lru"
    assert cache.config_get("maxmemory")["maxmemory"] == "50000000"
    assert cache.info("persistence")["aof_enabled"] == 0
    queue.set("kept", "1")
    cache.set("lost", "1")
    for spec in embedded_servers(settings):
        started.end(spec.name, signal.SIGKILL)
        started.start(spec)
    assert queue.get("kept") == b"1"
    assert cache.get("lost") is None


def test_only_this_user_reaches_them(settings: Settings, started: Started) -> None:
    for spec in embedded_servers(settings):
        started.start(spec)
    mode = queue_socket(settings).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o700
    assert stat.S_IMODE(queue_socket(settings).parent.stat().st_mode) == 0o700
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    for process in started.processes.values():
        files = (path.readlink() for path in Path(f"/proc/{process.pid}/fd").iterdir())
        sockets = {str(file)[8:-1] for file in files if str(file).startswith("socket:")}
        assert not any(
            line.split()[9] in sockets for line in listening.splitlines() if line.split()[9].isdigit()
        )


def test_external_servers_are_not_started(settings: Settings) -> None:
    both = settings.model_copy(update={"redis_url": "redis://box/0"})
    assert embedded_servers(both) == ()
    queue_only = settings.model_copy(update={"queue_url": "redis://box/0"})
    assert [spec.name for spec in embedded_servers(queue_only)] == ["cache-server"]


def test_half_a_command_at_the_end_of_the_file_costs_that_command_only(
    settings: Settings, started: Started
) -> None:
    (spec, _) = embedded_servers(settings)
    started.start(spec)
    queue = connect(store_urls(settings).queue)
    queue.rpush("jobs", "a", "b")
    queue.rpush("jobs", "c")
    started.end(spec.name, signal.SIGKILL)
    (increments,) = settings.data_dir.glob("queue/appendonlydir/*.incr.aof")
    os.truncate(increments, increments.stat().st_size - 3)
    started.start(spec)
    assert queue.lrange("jobs", 0, -1) == [b"a", b"b"]
    queue.rpush("jobs", "d")
    started.end(spec.name, signal.SIGKILL)
    started.start(spec)
    assert queue.lrange("jobs", 0, -1) == [b"a", b"b", b"d"]


def test_old_server_is_ended_before_a_new_one_opens_its_file(settings: Settings, started: Started) -> None:
    (spec, _) = embedded_servers(settings)
    started.start(spec)
    connect(store_urls(settings).queue).set("kept", "1")
    old = started.processes[spec.name]
    started.start(spec)
    assert old.wait(20) == 0
    assert connect(store_urls(settings).queue).get("kept") == b"1"


def test_socket_that_nobody_listens_on_is_no_obstacle(settings: Settings, started: Started) -> None:
    (spec, _) = embedded_servers(settings)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(queue_socket(settings)))
    started.start(spec)
    assert connect(store_urls(settings).queue).ping()


def fill(queue: redis.Redis) -> None:
    """Four megabytes."""
    with store_errors():
        for number in range(200):
            queue.set(f"big-{number}", bytes(20_000))


def test_full_disk_is_unavailable_and_clears_by_itself(settings: Settings, started: Started) -> None:
    """The append-only file is on a disk of two megabytes."""
    (spec, _) = embedded_servers(settings)
    disk = settings.data_dir / "queue"
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        started.start(spec)
        queue = connect(store_urls(settings).queue)
        queue.set("kept", "1")
        (disk / "ballast").write_bytes(bytes(1_500_000))
        with pytest.raises(StoreUnavailable, match="disk"):
            fill(queue)
        assert queue.get("kept") == b"1"
        assert is_alive(started.processes[spec.name].pid)
        (disk / "ballast").unlink()

        def writes() -> bool:
            try:
                with store_errors():
                    return bool(queue.set("again", "1"))
            except StoreUnavailable:
                return False

        until(writes, "writing again")
        started.end(spec.name, signal.SIGKILL)
        started.start(spec)
        assert queue.get("kept") == queue.get("again") == b"1"
    finally:
        for process in started.processes.values():
            process.kill()
            process.wait(20)
        subprocess.run(["umount", str(disk)], check=True)  # noqa: S607


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreMisconfigured, match="Cannot make the folder"):
        embedded_servers(Settings(data_dir=tmp_path / "file"))


def test_second_service_on_a_folder_is_told_who_is_first(tmp_path: Path) -> None:
    second = only_service(tmp_path)
    with only_service(tmp_path), pytest.raises(StartFailed, match=f"process {os.getpid()}"), second:
        pass
    with only_service(tmp_path):  # free again
        pass


def test_port_in_use_is_found_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartFailed, match=rf"port {port}: another program.*--port"):
            listen("127.0.0.1", port)
    with listen("127.0.0.1", port) as listener:
        assert listener.getsockname()[1] == port
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0
    with pytest.raises(StartFailed, match="--host"):
        listen("192.0.2.1", 0)


def test_addresses_as_clients_write_them() -> None:
    everywhere = "0.0.0.0"  # noqa: S104
    assert address_for_clients(everywhere, 80) == "http://127.0.0.1:80"
    assert address_for_clients("::", 80) == "http://[::1]:80"
    assert address_for_clients("box", 80) == "http://box:80"
    assert [is_public(host) for host in ("127.0.0.1", "::1", "localhost", everywhere, "::", "box")] == [
        *[False] * 3,
        *[True] * 3,
    ]


def test_server_fixture_is_the_embedded_server(queue_server: StoreServer) -> None:
    assert check_queue_server(queue_server.client(), shared=False) == ()
