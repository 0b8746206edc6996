"""What is counted is what was told, over all processes, under names that say their units."""

from __future__ import annotations

import inspect
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Sequence
from os import environ
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from sadtalker_service.telemetry import metrics
from sadtalker_service.telemetry.metrics_folder import VARIABLE, fresh_metrics_folder

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src" / "sadtalker_service"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    """(name, labels) -> value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def counted(lines: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """What a new process prints that runs `lines` and then `print(metrics.render().decode())`."""
    program = "\n".join(["from sadtalker_service.telemetry import metrics", *lines])
    command = [sys.executable, "-c", f"{program}\nprint(metrics.render().decode())"]
    variables = {**environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables, cwd=REPOSITORY)
    return done.stdout


def test_each_function_counts_in_its_own_series() -> None:
    found = samples(
        counted(["from tests.support.every_metric import count_everything", "count_everything()"])
    )
    route = "/api/{lane}/status/{session_id}"
    expected = {
        ("sadtalker_http_requests_total", (("method", "GET"), ("route", route), ("status", "200"))): 1,
        (
            "sadtalker_http_requests_total",
            (("method", "other"), ("route", "unmatched"), ("status", "405")),
        ): 1,
        ("sadtalker_http_request_duration_seconds_sum", (("route", route),)): 0.004,
        ("sadtalker_job_attempts_total", (("lane", "vip"),)): 1,
        ("sadtalker_job_wait_seconds_sum", (("lane", "vip"),)): 0.3,
        ("sadtalker_jobs_total", (("lane", "vip"), ("outcome", "ready"))): 1,
        ("sadtalker_jobs_total", (("lane", "standard"), ("outcome", "failed"))): 1,
        ("sadtalker_job_failures_total", (("code", "worker_lost"),)): 1,
        ("sadtalker_job_duration_seconds_sum", (("kind", "first"),)): 4.0,
        ("sadtalker_real_time_factor_sum", ()): 2.5,
        ("sadtalker_frames_total", ()): 250,
        ("sadtalker_video_seconds_total", ()): 10,
        ("sadtalker_stream_first_bytes_seconds_sum", ()): 0.2,
        ("sadtalker_stage_duration_seconds_sum", (("stage", "render"),)): 1.5,
        ("sadtalker_stage_duration_seconds_count", (("stage", "face_mesh"),)): 1,
        ("sadtalker_avatar_preparations_total", (("outcome", "ready"),)): 1,
        ("sadtalker_avatar_preparation_duration_seconds_sum", ()): 0.4,
        ("sadtalker_jobs_requeued_total", (("reason", "lease"),)): 1,
        ("sadtalker_cache_requests_total", (("kind", "face_mesh"), ("result", "hit"))): 1,
        ("sadtalker_cache_requests_total", (("kind", "face_mesh"), ("result", "miss"))): 1,
        ("sadtalker_inference_batches_total", (("videos", "2"),)): 1,
        ("sadtalker_inference_batches_total", (("videos", "4+"),)): 1,
        ("sadtalker_inference_frames_total", ()): 48,
        ("sadtalker_callbacks_total", (("result", "delivered"),)): 1,
        ("sadtalker_artefacts_removed_total", (("kind", "videos"), ("reason", "age"))): 1,
    }
    assert {key: found.get(key) for key in expected} == pytest.approx(expected)


def test_processes_that_share_a_folder_are_summed_up_even_when_they_are_gone(tmp_path: Path) -> None:
    environment = fresh_metrics_folder(tmp_path / "metrics")
    line = "metrics.observe_job('first', 2.0, video_seconds=4.0, frames=100)"
    counted([line], environment)
    counted([line, line], environment)
    found = samples(counted([], environment))
    assert found["sadtalker_frames_total", ()] == 300
    assert found["sadtalker_job_duration_seconds_count", (("kind", "first"),)] == 3
    assert found["sadtalker_real_time_factor_bucket", (("le", "2.0"),)] == 3


def test_killed_process_loses_no_count(tmp_path: Path) -> None:
    environment = fresh_metrics_folder(tmp_path / "metrics")
    program = (
        "import os, signal; from sadtalker_service.telemetry import metrics;"
        "metrics.cache_request('motion', True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], env={**environ, **environment}, check=False)
    assert done.returncode == -9
    found = samples(counted([], environment))
    assert found["sadtalker_cache_requests_total", (("kind", "motion"), ("result", "hit"))] == 1


def test_fresh_folder_begins_at_zero(tmp_path: Path) -> None:
    environment = fresh_metrics_folder(tmp_path / "metrics")
    counted(["metrics.observe_first_bytes(0.1)"], environment)
    assert fresh_metrics_folder(tmp_path / "metrics") == environment == {VARIABLE: str(tmp_path / "metrics")}
    assert samples(counted([], environment))["sadtalker_stream_first_bytes_seconds_count", ()] == 0


class Queue:
    """A collector that counts how often it was asked."""

    asked = 0

    def collect(self) -> Iterable[Metric]:
        self.asked += 1
        family = GaugeMetricFamily("sadtalker_queue_waiting", "Waiting.", labels=["lane"])
        family.add_metric(["vip"], self.asked)
        yield family


def test_further_collectors_are_asked_at_each_rendering() -> None:
    queue = Queue()
    key = ("sadtalker_queue_waiting", (("lane", "vip"),))
    assert [samples(metrics.render(queue).decode())[key] for _ in range(2)] == [1, 2]


def test_process_without_a_face_answers_on_a_port_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = metrics.serve("127.0.0.1", port, Queue())
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            found = samples(answer.read().decode())
    finally:
        server.shutdown()
        server.server_close()
    assert ("sadtalker_queue_waiting", (("lane", "vip"),)) in found
    assert ("sadtalker_frames_total", ()) in found


def test_names_say_whose_and_in_which_unit() -> None:
    names = {family.name for family in metrics.REGISTRY.collect()}
    assert len(names) > 15
    for name in names:
        assert re.fullmatch(r"sadtalker_[a-z_]+", name)
        assert not re.search(r"_(ms|millis|minutes|mb|percent|sec)$", name)


def test_everything_that_can_be_counted_is_counted_somewhere() -> None:
    sources = [path for path in PACKAGE.rglob("*.py") if path.name != "metrics.py"]
    code = "\n".join(path.read_text() for path in sources)
    functions = [name for name, value in vars(metrics).items() if inspect.isfunction(value)]
    ours = [name for name in functions if getattr(metrics, name).__module__ == metrics.__name__]
    own = {"observe_stage"}  # called by observe_stages
    unused = [n for n in ours if n[0] != "_" and n not in own and not re.search(rf"\bmetrics\.{n}\b", code)]
    assert unused == []
    assert len(ours) > 12
