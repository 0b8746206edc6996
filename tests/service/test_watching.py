"""Metrics over all processes of a running service, and its logs."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.running_service import RunningService

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
REQUEST_ID = "a-request-to-be-followed"


@dataclass(frozen=True)
class Made:
    """A video that was made only for these tests."""

    session: dict[str, Any]
    before: dict[tuple[str, ...], float]
    after: dict[tuple[str, ...], float]

    def grown(self, *name: str) -> float:
        """Return how much this video has increased a series."""
        return self.after.get(name, 0.0) - self.before.get(name, 0.0)


@pytest.fixture(scope="module")
def made(service: RunningService) -> Made:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        before = samples(client)
        source_image = {"image_file": (EXAMPLES / "portrait.jpg").read_bytes()}
        image_id = client.post("/api/avatar/upload", files=source_image).raise_for_status().json()["image_id"]
        form = {"image_id": image_id, "enhancer": "none", "seed": "4711", "preprocess_mode": "full"}
        sound = {"audio_file": (EXAMPLES / "speech.wav").read_bytes()}
        headers = {"X-Request-ID": REQUEST_ID}
        asked = client.post("/api/standard/generate", data=form, files=sound, headers=headers)
        links = asked.raise_for_status().json()["links"]
        end = time.monotonic() + 120
        while (session := client.get(links["status"]).json())["status"] not in {"ready", "failed"}:
            assert time.monotonic() < end
            time.sleep(0.3)
        assert session["status"] == "ready", session
        client.get("/no/such/path")
        client.get(f"/api/avatar/status/{'0' * 64}")
        frames = session["video"]["frames"]
        while (after := samples(client)).get(("sadtalker_frames_total",), 0) < frames:
            assert time.monotonic() < end  # the worker counts a moment after it has reported ready
            time.sleep(0.1)
    return Made(session, before, after)


def samples(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """(name, label=value, ...) -> value."""
    answer = client.get("/metrics").raise_for_status()
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_of_the_api_include_the_worker(made: Made) -> None:
    frames = made.session["video"]["frames"]
    assert made.grown("sadtalker_frames_total") == frames
    assert made.grown("sadtalker_jobs_total", "lane=standard", "outcome=ready") == 1
    assert made.grown("sadtalker_job_attempts_total", "lane=standard") == 1
    assert made.grown("sadtalker_stage_duration_seconds_count", "stage=render") == 1
    assert made.grown("sadtalker_real_time_factor_count") == 1
    assert made.grown("sadtalker_stream_first_bytes_seconds_count") == 1
    assert made.grown("sadtalker_cache_requests_total", "kind=motion", "result=hit") + made.grown(
        "sadtalker_cache_requests_total", "kind=motion", "result=miss"
    ) == pytest.approx(1)


def test_duration_of_the_job_matches_the_session(made: Made) -> None:
    seconds = sum(
        made.grown("sadtalker_job_duration_seconds_sum", f"kind={kind}")
        for kind in ("first", "cached_avatar")
    )
    assert seconds == pytest.approx(made.session["performance"]["seconds"]["total_time"], abs=0.01)


def test_gauges_cover_queue_workers_servers_and_disk(made: Made) -> None:
    assert made.after["sadtalker_queue_waiting", "lane=vip"] == 0
    assert made.after["sadtalker_queue_limit",] == 100
    assert made.after["sadtalker_store_up", "store=queue"] == 1
    assert made.after["sadtalker_store_up", "store=cache"] == 1
    assert made.after["sadtalker_disk_free_bytes", "folder=data"] > 0
    ages = [
        value for name, value in made.after.items() if name[0] == "sadtalker_worker_heartbeat_age_seconds"
    ]
    assert len(ages) >= 2
    assert min(ages) < 10


def test_labels_have_few_values(made: Made) -> None:
    values = {label.partition("=")[2] for name in made.after for label in name[1:]}
    assert not [
        value for value in values if re.search(r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-|/such/", value)
    ]
    assert ("sadtalker_http_requests_total", "method=GET", "route=unmatched", "status=404") in made.after
    routes = {label for name in made.after for label in name[1:] if label.startswith("route=")}
    assert "route=/api/{lane}/status/{session_id}" in routes
    assert "route=/api/avatar/status/{image_id}" in routes


def test_events_of_a_video_can_be_traced_through_all_processes(service: RunningService, made: Made) -> None:
    events = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    assert {event["role"] for event in events} == {"supervisor", "api", "worker"}
    session_id = made.session["session_id"]
    story = [event for event in events if event.get("session_id") == session_id]
    assert {event["role"] for event in story} == {"api", "worker"}
    assert {"api", "worker"} <= {event["role"] for event in events if event.get("request_id") == REQUEST_ID}
    assert all({"event", "level", "timestamp", "logger"} <= event.keys() for event in events)


def test_output_contains_only_events_and_announcements(service: RunningService, made: Made) -> None:
    plain = [line for line in service.log.splitlines() if not line.startswith("{")]
    assert [line for line in plain if not line.startswith(("Listening on ", "Ready: "))] == []
