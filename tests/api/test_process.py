"""The process of the API: it starts without its stores, and stops in order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.jobs import CARD
from tests.support.running_api import audio_bytes, image_bytes
from tests.support.servers import StoreServer

from sadtalker_service.state.registry import EngineRegistry

DRAIN_SECONDS = 1.5


Running = Iterator[tuple[str, subprocess.Popen[bytes]]]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a path short enough for sockets."""
    return tmp_path_factory.mktemp("d")


@contextmanager
def api_process(data_dir: Path, queue: str, cache: str) -> Running:
    """`python -m sadtalker_service.api` on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "DATA_DIR": str(data_dir),
        "REDIS_URL": cache,
        "QUEUE_URL": queue,
        "PORT": str(port),
        "DRAIN_SECONDS": str(DRAIN_SECONDS),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "sadtalker_service.api"],
        env=environment,
        cwd=data_dir,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 120
        while not alive(url):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield url, process
    finally:
        process.kill()
        process.wait(60)


def alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_shutdown_ends_streams_refuses_work_and_exits_with_zero(
    folder: Path, queue_server: StoreServer, cache_server: StoreServer
) -> None:
    EngineRegistry(queue_server.client()).publish(CARD, default=True)
    files = {"image_file": ("me.png", image_bytes())}
    with (
        api_process(folder, queue_server.url, cache_server.url) as (url, process),
        httpx.Client(base_url=url, timeout=20) as client,
    ):
        image_id = client.post("/api/avatar/upload", files=files).json()["image_id"]
        sound = {"audio_file": ("a.wav", audio_bytes())}
        accepted = client.post("/api/vip/generate", data={"image_id": image_id}, files=sound)
        links = accepted.json()["links"]
        ended: dict[str, float] = {}

        def listen(path: str) -> None:
            with httpx.stream("GET", url + path, timeout=60) as answer:
                list(answer.iter_raw())
                ended[path] = time.monotonic()

        listeners = [threading.Thread(target=listen, args=(links[name],)) for name in ("events", "stream")]
        for listener in listeners:
            listener.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        time.sleep(0.3)
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["draining"]["ok"]) == (503, False)
        refused = client.post("/api/avatar/upload", files=files)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert "retry-after" in refused.headers
        assert client.get(links["status"]).status_code == 200  # accepted sessions are still reported
        for listener in listeners:
            listener.join(20)
        assert process.wait(60) == 0
        assert max(ended.values()) - told < 10


def test_it_starts_and_answers_without_its_stores(folder: Path) -> None:
    nowhere = f"unix://{folder}/none.sock"
    with api_process(folder, nowhere, nowhere) as (url, process):
        with ThreadPoolExecutor(2) as at_once:  # each takes two seconds
            paths = ("/readyz", "/api/avatar")
            answers = [*at_once.map(lambda path: httpx.get(url + path, timeout=20), paths)]
        assert [answer.status_code for answer in answers] == [503, 503]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_head_without_end_is_refused(folder: Path) -> None:
    nowhere = f"unix://{folder}/none.sock"
    with api_process(folder, nowhere, nowhere) as (url, process):
        before = resident(process.pid)
        for beginning in (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ", b"GET /"):
            parts = urlsplit(url)
            with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=10) as connection:
                connection.sendall(beginning)
                with suppress(ConnectionError):
                    for _ in range(500):
                        connection.sendall(b"x" * 100_000)
                    pytest.fail("fifty megabytes of headers were taken")
        assert httpx.get(f"{url}/livez").status_code == 200
        assert resident(process.pid) - before < 20_000_000


def resident(pid: int) -> int:
    """Memory of a process, bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("API_KEYS", "no json", "API_KEYS cannot be read"),
        ("API_KEYS", '[{"name": "a"}]', "API_KEYS cannot be read"),
        ("LIVE_ICE_SERVERS", "http://stun.example", "LIVE_ICE_SERVERS has 'http://stun.example'"),
    ],
)
def test_it_does_not_start_with_unreadable_settings(folder: Path, name: str, value: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sadtalker_service.api"],
        env={**os.environ, "DATA_DIR": str(folder), name: value},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 3
    assert done.stderr.startswith(f"sadtalker: {told}")
