"""Front page, statistics, health, metrics, documents; behaviour without a store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.jobs import CARD, OUTCOME
from tests.support.running_api import RunningApi, audio_bytes, image_bytes, sha256
from tests.support.servers import StoreServer

from sadtalker_service.errors import SadTalkerError
from sadtalker_service.settings import Settings
from sadtalker_service.state.records import WorkerFacts

_ENGINE_PARTS = ("numba", "onnxruntime", "pocketsphinx", "scipy", "torch")


def test_api_loads_no_engine() -> None:
    program = (
        "import sys; from sadtalker_service.api.__main__ import main;"
        "print(*sorted(name for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded.intersection(_ENGINE_PARTS)
    engines = {name for name in loaded if name.startswith("sadtalker_service.engines.")}
    port = {"sadtalker_service.engines.port", "sadtalker_service.engines.live_port"}
    assert engines <= port


def test_front_page_is_json_for_programs(api: RunningApi, client: httpx.Client) -> None:
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        body = client.get("/", headers=headers).json()
        assert body["status"] == "running"
        assert body["performance"]["speedup"] == "not measured yet"
        assert body["cache_status"] == {
            "redis_connected": True,
            "total_cached_images": 0,
            "cache_hit_rate": "not measured yet",
        }
        assert body["queue_status"]["queue_size"] == 0
        assert set(body["queue_status"]["lanes"]) == {"vip", "standard"}
        assert body["endpoints"]["avatar_upload"] == "POST /api/avatar/upload"
    assert client.head("/").status_code == 200


def test_unmeasured_values_are_reported_as_not_measured(api: RunningApi, client: httpx.Client) -> None:
    body = client.get("/api/cache/stats").json()
    assert body["performance"]["cache_hit_rate"] is None
    assert body["performance_summary"]["average_speedup"] == "not measured yet"
    assert body["cache_statistics"]["performance"]["avg_processing_time"]["first_time_seconds"] is None


def test_statistics_are_measured_values(api: RunningApi, client: httpx.Client) -> None:
    statistics = api.services.statistics
    for _ in range(3):
        statistics.count_cache("face_mesh", hit=True)
    statistics.count_cache("face_mesh", hit=False)
    statistics.job_done("first", "vip", CARD.name, replace(OUTCOME, total_seconds=3.0, saved_seconds=0.0))
    cached = replace(OUTCOME, total_seconds=1.5, saved_seconds=4.5)
    statistics.job_done("cached_avatar", "vip", CARD.name, cached)
    session_id = api.accepted(client)
    api.accepted(client, audio_bytes(1), "standard")
    api.begin(session_id)

    body = client.get("/api/cache/stats").json()
    assert body["performance"]["cache_hit_rate"] == 75.0
    assert body["cache_statistics"]["performance"]["cache_hit_rate"] == 75.0
    assert body["performance_summary"]["cache_hit_rate"] == 75.0
    assert body["performance_summary"]["average_speedup"] == "2.0x faster with caching"
    assert body["performance_summary"]["average_speedup_factor"] == 2.0
    assert body["performance_summary"]["total_videos_generated"] == 2
    assert body["performance_summary"]["total_images_processed"] == 1
    assert body["cache_statistics"]["requests"]["face_mesh"] == {"hits": 3, "misses": 1, "hit_rate": 75.0}
    assert body["cache_statistics"]["cached_data"]["face_mesh"] == 0
    assert body["cache_statistics"]["redis_status"]["connected"] is True
    assert body["generation_statistics"]["generation_time_distribution"]["<=2s"] == 1
    assert body["generation_statistics"]["by_kind"]["first"]["real_time_factor"] == 0.67
    assert body["queue_status"]["processing"] is True
    assert body["queue_status"]["current_session"] == session_id[:8]
    assert body["queue_status"]["lanes"]["standard"]["queue_size"] == 1
    assert body["service_health"] == {
        "redis_connected": True,
        "models_loaded": True,
        "queue_processing": True,
        "workers": 1,
    }
    home = client.get("/").json()
    assert home["performance"]["speedup"] == "4.0x faster"
    assert home["cache_status"]["cache_hit_rate"] == "75.0%"


def test_estimate_comes_from_measurements(api: RunningApi, client: httpx.Client) -> None:
    api.services.statistics.job_done("first", "vip", CARD.name, replace(OUTCOME, total_seconds=4.0))
    image_id = api.upload(client)["image_id"]
    answer = api.generate(client, image_id, audio_bytes(1, 2.0)).json()
    assert answer["estimated_seconds"] == pytest.approx(4.0, rel=0.1)
    behind = api.generate(client, image_id, audio_bytes(2, 2.0)).json()
    assert behind["estimated_seconds"] == pytest.approx(8.0, rel=0.1)
    assert behind["estimated_time"] == "about 8.0 seconds"


def test_summary_of_a_source_image(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    body = client.get(f"/api/image/{image_id}/summary").json()
    assert body["image_id"] == body["cache_summary"]["image_hash"] == image_id
    assert set(body["cache_summary"]["cached_components"]) == {"face_detection", "face_mesh", "visemes"}
    assert body["performance_impact"] == {
        "cache_coverage": "0.0%",
        "estimated_speedup": "not measured yet",
        "total_cache_size": "0.00 MB",
    }
    assert client.get(f"/api/image/{'a' * 64}/summary").status_code == 404


def test_liveness_needs_no_other_server(api: RunningApi, client: httpx.Client) -> None:
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.head("/livez").status_code == 200


def test_ready_with_everything(api: RunningApi, client: httpx.Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert api.kept() == set()


def test_engine_missing_on_one_worker_only_is_not_missing(api: RunningApi, client: httpx.Client) -> None:
    lacking = {"neural": "no torch.", "other": "no files."}
    facts = WorkerFacts(("vip", "normal"), CARD.name, "idle", obstacles=lacking)
    api.services.workers.beat("w2", facts)
    api.services.engines.publish(replace(CARD, name="neural"), default=False)
    api.app.state.health.forget()
    answer = client.get("/readyz").json()
    assert answer["status"] == "ready"  # for information only
    assert answer["checks"]["engines"] == {
        "ok": True,
        "required": False,
        "detail": "neural, pattern (default); other cannot run here: no files.",
    }


def test_not_ready_without_a_warm_worker(api: RunningApi, client: httpx.Client) -> None:
    for facts in (
        WorkerFacts(("vip", "normal"), None, "starting"),
        WorkerFacts(("prepare",), CARD.name, "idle"),
        WorkerFacts(("vip", "normal"), CARD.name, "stopping"),
    ):
        api.services.workers.beat("w1", facts)
        api.app.state.health.forget()
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["worker"]["ok"] is False


def test_request_before_any_worker_is_retryable(
    api: RunningApi, client: httpx.Client, queue_server: StoreServer
) -> None:
    image_id = api.upload(client)["image_id"]
    api.services.queue.delete("engines", "engine:default")
    answer = api.generate(client, image_id)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_starting")
    assert "retry-after" in answer.headers


def test_queue_server_unavailable(api: RunningApi, client: httpx.Client, queue_server: StoreServer) -> None:
    session_id = api.accepted(client)
    queue_server.kill()
    questions: tuple[Callable[[], httpx.Response], ...] = (
        lambda: client.get(f"/api/vip/status/{session_id}"),
        lambda: client.get(f"/api/vip/events/{session_id}"),
        lambda: client.post("/api/avatar/upload", files={"image_file": ("me.png", image_bytes(7))}),
        lambda: api.generate(client, sha256(image_bytes())),
    )
    with ThreadPoolExecutor(len(questions)) as at_once:  # each takes two seconds
        answers = [*at_once.map(lambda ask: ask(), questions)]
    for answer in answers:
        assert answer.status_code == 503, answer.url
        assert answer.json()["error"]["code"] == "store_unavailable"
        assert int(answer.headers["retry-after"]) >= 1
    assert client.get("/livez").status_code == 200
    assert client.get("/").json()["status"] == "degraded"
    api.app.state.health.forget()
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["checks"]["queue_store"]["ok"] is False
    assert b'sadtalker_store_up{store="queue"} 0.0' in client.get("/metrics").content
    queue_server.start()
    assert client.get(f"/api/vip/status/{session_id}").status_code == 200


def test_cache_server_unavailable(api: RunningApi, client: httpx.Client, cache_server: StoreServer) -> None:
    cache_server.kill()
    api.app.state.health.forget()
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    image_id = api.upload(client)["image_id"]
    assert client.get(f"/api/avatar/status/{image_id}").status_code == 200
    session_id = api.accepted(client)
    api.make(session_id)
    assert client.get(f"/api/vip/status/{session_id}").json()["status"] == "ready"
    body = client.get("/api/cache/stats").json()
    assert body["cache_statistics"]["redis_status"]["connected"] is False
    preview = client.get(f"/api/avatar/{image_id}/preview")
    assert (preview.status_code, preview.json()["error"]["code"]) == (503, "store_unavailable")


def test_metrics_are_readable(api: RunningApi, client: httpx.Client) -> None:
    client.get("/api/avatar/status/" + "a" * 64)
    client.get("/nothing/of/this/name")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    routes = {sample.labels["route"] for sample in families["sadtalker_http_requests"].samples}
    assert {"/api/avatar/status/{image_id}", "unmatched"} <= routes
    assert not any("aaaa" in route or "nothing" in route for route in routes)
    assert "sadtalker_queue_waiting" in families


def test_every_error_is_explained_at_its_url(api: RunningApi, client: httpx.Client) -> None:
    explained = client.get("/docs/errors").json()["errors"]
    page = client.get("/docs/errors", headers={"Accept": "text/html"}).text
    kinds = [SadTalkerError]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        assert explained[kind.code]["meaning"]
        assert f'id="{kind.code}"' in page


def test_documents_are_served(api: RunningApi, client: httpx.Client) -> None:
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 200
    document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            for status, answer in operation["responses"].items():
                if status.startswith(("4", "5")) and path != "/readyz":
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ProblemAnswer"}, (method, path, status)


def test_settings_of_the_tests_reach_the_api(api: RunningApi, api_settings: Settings) -> None:
    assert api.services.settings is api_settings


def test_browser_gets_the_studio_with_a_strict_policy(api: RunningApi, client: httpx.Client) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    for path in ("/", "/studio/"):
        page = client.get(path, headers=browser)
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "no-referrer"
    assert client.get("/", headers=browser).headers["vary"] == "Accept"
    missing = client.get("/studio/nothing.js")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
