"""`sadtalker serve` restarts killed processes and leaves none behind when it stops."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.running_service import (
    PATTERN_ENGINE,
    Role,
    RunningService,
    children,
    command_line,
    is_alive,
    until,
)
from tests.support.servers import StoreServer

from sadtalker_service.settings import Settings
from sadtalker_service.store.connections import run_dir

ROLES: tuple[Role, ...] = ("queue", "cache", "api", "render", "prepare")


@pytest.fixture(scope="module")
def pattern_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with the pattern engine and a long folder path. Its tests leave it intact."""
    folder = tmp_path_factory.mktemp("a-folder-with-a-name-that-is-too-long-for-any-socket" * 2)
    with RunningService(folder, PATTERN_ENGINE) as running:
        yield running
    shutil.rmtree(run_dir(Settings(data_dir=folder)))


def is_ready(service: RunningService) -> bool:
    try:
        return httpx.get(f"{service.url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def serve(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a service that must fail to start."""
    return subprocess.run(
        [sys.executable, "-m", "sadtalker_service", "serve", *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def test_ready_service_answers_and_prints_its_address(pattern_service: RunningService) -> None:
    assert pattern_service.url.startswith("http://127.0.0.1:")
    assert is_ready(pattern_service)
    assert f"Ready: {pattern_service.url}" in pattern_service.log
    for role in ROLES:
        assert len(pattern_service.pids(role)) == 1


def test_workers_have_a_lower_priority_than_the_api(pattern_service: RunningService) -> None:
    niceness = {role: os.getpriority(os.PRIO_PROCESS, pattern_service.pid(role)) for role in ROLES}
    assert niceness["render"] == niceness["prepare"] == min(19, niceness["api"] + 10)
    assert niceness["api"] == niceness["queue"]


def test_start_in_a_terminal_prints_only_what_is_needed(data_dir: Path) -> None:
    ours, theirs = pty.openpty()
    seen = bytearray()

    def said(text: str) -> bool:
        while select.select([ours], [], [], 0)[0]:
            seen.extend(os.read(ours, 4096))
        return text in seen.decode(errors="replace")

    process = subprocess.Popen(
        [sys.executable, "-m", "sadtalker_service", "serve", "--port", "0", "--data_dir", str(data_dir)],
        env={**os.environ, **PATTERN_ENGINE, "WORKERS": "1"},
        cwd=data_dir,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    try:
        until(lambda: said("Ctrl-C"), "the last line of the start", 120)
        started = seen.decode()
        url = re.search(r"^Ready: (\S+)", started, re.MULTILINE)
        assert url is not None
        assert f"Studio, in a browser: {url[1]}/\r\n" in started
        assert len(started.splitlines()) == 5, started
        assert max(map(len, started.splitlines())) <= 80, started
        # warnings for the operator are still shown
        (api,) = [pid for pid in children(process.pid) if "sadtalker_service.api" in command_line(pid)]
        os.kill(api, signal.SIGKILL)
        until(lambda: said("child_ended"), "the warning", 30)
        until(lambda: said("api is ready again."), "the good news", 120)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        assert said("Stopping after")
    finally:
        process.kill()
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("role", ROLES)
def test_killed_process_is_restarted_and_the_service_is_ready_again(
    pattern_service: RunningService, role: Role
) -> None:
    others = {other: pattern_service.pid(other) for other in ROLES if other != role}
    killed = pattern_service.kill(role)
    assert pattern_service.pid(role, other_than=killed) != killed
    until(lambda: is_ready(pattern_service), "ready again", 120)
    assert {other: pattern_service.pid(other) for other in others} == others


def test_request_during_an_api_restart_waits_and_is_answered(
    pattern_service: RunningService,
) -> None:
    killed = pattern_service.kill("api")
    until(lambda: not is_alive(killed), "the death of the API", 5)
    assert httpx.get(f"{pattern_service.url}/livez", timeout=60).status_code == 200


def test_second_service_on_the_same_folder_is_refused(pattern_service: RunningService) -> None:
    before = pattern_service.all_processes()
    done = serve("--port", "0", "--data_dir", str(pattern_service.data_dir))
    assert done.returncode == 3
    assert f"process {pattern_service.process.pid}" in last_line(done)
    assert set(before) <= set(pattern_service.all_processes()), "no process of the first one has ended"
    until(lambda: is_ready(pattern_service), "the first one is ready", 60)


def test_port_in_use_is_a_one_line_error(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = serve("--port", port, "--data_dir", str(data_dir))
    assert done.returncode == 3
    assert last_line(done) == (
        f"sadtalker: Cannot listen on 127.0.0.1, port {port}:"
        " another program listens there; choose another one: --port NUMBER, or make serve PORT=NUMBER."
    )
    assert not list(data_dir.glob("queue"))


def test_server_that_may_evict_jobs_is_refused(data_dir: Path, cache_server: StoreServer) -> None:
    done = serve("--port", "0", "--data_dir", str(data_dir), REDIS_URL=cache_server.url)
    assert done.returncode == 3
    assert "evicts jobs" in last_line(done)
    assert "QUEUE_URL" in last_line(done)
    assert not list(data_dir.glob("queue"))


def test_missing_server_is_a_one_line_error(data_dir: Path) -> None:
    done = serve("--port", "0", "--data_dir", str(data_dir), QUEUE_URL=f"unix://{data_dir}/missing")
    assert done.returncode == 3
    assert "does not answer" in last_line(done)


def test_invalid_setting_is_a_one_line_error(data_dir: Path) -> None:
    done = serve("--data_dir", str(data_dir), PORT="many")
    assert done.returncode == 2
    assert "PORT" in last_line(done)


def test_missing_engine_prevents_the_start(data_dir: Path) -> None:
    done = serve("--port", "0", "--data_dir", str(data_dir), ENGINE="missing")
    assert done.returncode == 3
    assert "There is no engine called 'missing'" in done.stderr
    assert "The service does not start" in last_line(done)


def test_engine_that_cannot_run_prevents_the_start_with_advice(data_dir: Path) -> None:
    lacking = {"ENGINE": "sadtalker", "SADTALKER_CHECKPOINTS_PATH": str(data_dir / "none")}
    done = serve("--port", "0", "--data_dir", str(data_dir), **lacking)
    assert done.returncode == 3
    line = last_line(done)
    assert "The service does not start. The sadtalker engine cannot run here" in line
    assert "sadtalker models download" in line
    assert "child_started" not in done.stderr


def test_public_address_without_keys_gets_a_warning(data_dir: Path) -> None:
    """The service does not start fully; the first checks are enough."""
    public = ("--host", "0.0.0.0", "--port", "0", "--data_dir", str(data_dir))  # noqa: S104
    missing = f"unix://{data_dir}/missing"
    for keys, warned in (("", True), ('[{"name": "cluster", "key": "0123456789abcdef0123"}]', False)):
        done = serve(*public, QUEUE_URL=missing, API_KEYS=keys)
        assert ("service_unprotected" in done.stderr) == warned


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.7", "::", "localhost"])  # noqa: S104
@pytest.mark.parametrize("keys", ["", "[]"])
def test_publicly_published_container_without_keys_does_not_start(
    data_dir: Path, address: str, keys: str
) -> None:
    done = serve("--port", "0", "--data_dir", str(data_dir), PUBLISH_ADDRESS=address, API_KEYS=keys)
    assert done.returncode == 3
    line = last_line(done)
    assert f"published on {address}" in line
    assert "Set API_KEYS" in line
    assert not list(data_dir.glob("queue"))


def test_publicly_published_container_with_unreadable_keys_does_not_start(data_dir: Path) -> None:
    lacking = {"PUBLISH_ADDRESS": "192.0.2.7", "API_KEYS_FILE": str(data_dir / "none.json")}
    done = serve("--port", "0", "--data_dir", str(data_dir), **lacking)
    assert done.returncode == 3
    assert "API_KEYS_FILE" in last_line(done)


def test_container_published_on_loopback_or_with_keys_starts_without_a_warning(data_dir: Path) -> None:
    """`serve` gets as far as the store, which is missing."""
    keys = data_dir / "keys.json"
    data_dir.mkdir(exist_ok=True)
    keys.write_text('[{"name": "cluster", "key": "0123456789abcdef0123"}]')
    public = ("--host", "0.0.0.0", "--port", "0", "--data_dir", str(data_dir))  # noqa: S104
    missing = f"unix://{data_dir}/missing"
    for safe in (
        {"PUBLISH_ADDRESS": "127.0.0.1"},
        {"PUBLISH_ADDRESS": "::1"},
        {"PUBLISH_ADDRESS": "[::1]"},
        {"PUBLISH_ADDRESS": "192.0.2.7", "API_KEYS": keys.read_text()},
        {"PUBLISH_ADDRESS": "192.0.2.7", "API_KEYS_FILE": str(keys)},
    ):
        done = serve(*public, QUEUE_URL=missing, **safe)
        assert "does not answer" in last_line(done), safe
        assert "service_unprotected" not in done.stderr, safe


def test_external_servers_are_used_and_left_running(
    data_dir: Path, queue_server: StoreServer, cache_server: StoreServer
) -> None:
    env = {**PATTERN_ENGINE, "QUEUE_URL": queue_server.url, "REDIS_URL": cache_server.url}
    with RunningService(data_dir, env) as service:
        assert service.pids("queue") == service.pids("cache") == []
        assert is_ready(service)
        assert queue_server.client().exists("workers")
        assert service.stop(signal.SIGINT) == 0
    assert queue_server.running
    assert cache_server.running


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_all_processes_die_with_a_killed_supervisor_and_the_next_one_stops_cleanly(data_dir: Path) -> None:
    with RunningService(data_dir, PATTERN_ENGINE) as first:
        killed = first.all_processes()
        first.process.kill()
        with RunningService(data_dir, PATTERN_ENGINE) as second:
            until(lambda: not any(map(is_alive, killed)), "the first one gone", 30)
            stopped = second.all_processes()
            assert len(stopped) > len(ROLES)
            assert second.stop() == 0
            until(lambda: not any(map(is_alive, stopped)), "the second one gone", 5)
