"""A worker without an API exports its own metrics."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.servers import StoreServer
from tests.support.workers import SUPPORT, Cluster, wait_for


@pytest.fixture
def cluster(queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(queue_server, cache_server, tmp_path)
    yield cluster
    cluster.close()


def test_worker_exports_the_metrics_of_its_rendering_process(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = {
        "PYTHONPATH": str(SUPPORT),
        "ENGINE": "pattern",
        "DATA_DIR": str(cluster.settings.data_dir),
        "REDIS_URL": str(cluster.settings.redis_url),
        "QUEUE_URL": str(cluster.settings.queue_url),
        "METRICS_PORT": str(port),
    }
    command = [sys.executable, "-m", "sadtalker_service", "worker", "--name", "counted"]
    with subprocess.Popen(command, env={**os.environ, **settings}) as worker:
        try:
            wait_for(lambda: any(f.state == "idle" for f in cluster.registry.live().values()), "warm", 60)
            session = cluster.request(cluster.source_image(), cluster.speech())
            cluster.wait(session, "ready")
            found = metrics(port)
            assert found["sadtalker_frames_total"] == 25
            assert found["sadtalker_job_attempts_total"] == 1
        finally:
            worker.terminate()
        assert worker.wait(30) == 0


def metrics(port: int) -> dict[str, float]:
    """Poll until the job is counted, and return one value of each series."""
    until = time.monotonic() + 10
    while True:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").raise_for_status().text
        found = {s.name: s.value for f in text_string_to_metric_families(text) for s in f.samples}
        if found.get("sadtalker_frames_total") or time.monotonic() > until:
            return found
        time.sleep(0.1)


def test_port_in_use_is_a_one_line_error(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "sadtalker_service", "worker"],
            env={**os.environ, "METRICS_PORT": port, "QUEUE_URL": str(cluster.settings.queue_url)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert f"port {port}" in done.stderr
    assert "Traceback" not in done.stderr
