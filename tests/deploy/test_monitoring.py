"""Alerts and the dashboard use metrics that the service exports, with their real labels."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.support.every_metric import count_everything
from tests.support.servers import StoreServer

from sadtalker_service.jobs.gauges import StoreGauges
from sadtalker_service.jobs.live_gauges import LiveGauges
from sadtalker_service.settings import Settings
from sadtalker_service.state.live_records import LiveWorker
from sadtalker_service.state.live_sessions import LiveSessionStore
from sadtalker_service.state.records import WorkerFacts
from sadtalker_service.state.registry import WorkerRegistry
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.telemetry import metrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
OPERATIONS = DEPLOY.parent / "docs" / "operations.md"
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "sadtalker.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
ADDED_BY_PROMETHEUS = {"instance", "job"}


@pytest.fixture
def exported(queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path) -> dict[str, set[str]]:
    """Name of each series -> names of its labels, after every event has occurred once."""
    count_everything()
    queue, settings = queue_server.client(), Settings()
    workers = WorkerRegistry(queue)
    workers.beat("first@host", WorkerFacts(("vip", "normal"), "mesh", "idle"))
    servers = {"queue": queue, "cache": cache_server.client()}
    gauges = StoreGauges(settings, SessionStore(queue, settings), workers, servers, {"data": tmp_path})
    live = LiveSessionStore(queue, settings)
    live.beat("live@host", LiveWorker("unix:///run/live.sock", slots=2, load=0.3, engines=("mesh",)))
    parsed = text_string_to_metric_families(metrics.render(gauges, LiveGauges(live)).decode())
    return {sample.name: set(sample.labels) for family in parsed for sample in family.samples}


def names_in(query: str) -> set[str]:
    return set(re.findall(r"\bsadtalker_\w+", query))


def labels_in(query: str) -> set[str]:
    grouped = re.findall(r"\b(?:by|without) \(([^)]*)\)", query)
    matched = re.findall(r"\{([^}]*)\}", query)
    return {name.strip() for group in grouped for name in group.split(",")} | {
        found for group in matched for found in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", group)
    }


@pytest.mark.parametrize("query", [rule["expr"] for rule in RULES] + QUERIES)
def test_queries_use_existing_metrics_and_labels(query: str, exported: dict[str, set[str]]) -> None:
    names = names_in(query)
    assert names or query.startswith("up{")
    assert names <= set(exported)
    assert labels_in(query) <= set().union(ADDED_BY_PROMETHEUS, *(exported[name] for name in names))


def test_query_for_a_missing_metric_would_be_detected(exported: dict[str, set[str]]) -> None:
    assert not names_in("rate(sadtalker_videos_total[5m])") <= set(exported)
    assert labels_in('sum by (lane, le) (x{kind!="first"})') == {"lane", "le", "kind"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_summary_and_a_section_in_the_documents(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"].endswith(".")
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
    assert f"### {rule['alert']}\n" in OPERATIONS.read_text()


def test_alert_names_are_unique_and_match_the_sections() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    assert set(re.findall(r"^### (SadTalker\w+)$", OPERATIONS.read_text(), re.MULTILINE)) == set(names)


def test_panels_have_unique_ids_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)


def test_scrape_targets_are_services_and_ports_of_the_compose_file() -> None:
    compose = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())["services"]
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert jobs["sadtalker"]["static_configs"] == [{"targets": ["microservice:8000"]}]
    (discovered,) = jobs["sadtalker-worker"]["dns_sd_configs"]
    ports = {name: one.get("environment", {}).get("METRICS_PORT") for name, one in compose.items()}
    served = {name: port for name, port in ports.items() if port}
    assert served == dict.fromkeys(discovered["names"], str(discovered["port"]))
    assert {"worker", "live"} <= set(served)
    assert "metrics_path" not in jobs["sadtalker"]
    assert all((DEPLOY / "prometheus" / name).exists() for name in config["rule_files"])
