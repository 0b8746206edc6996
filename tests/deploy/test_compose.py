"""docker-compose.yml is a valid file, closes what must be closed, and starts its stores as they must be.

There is no Docker here: the file is checked against the schema of the Compose Specification, and the commands
of the stores are run with the server that the service brings itself.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import redis
import yaml
from tests.support.servers import written

from sadtalker_service.settings import Settings
from sadtalker_service.store.connections import check_queue_server, store_urls
from sadtalker_service.supervisor.embedded_stores import server_program

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((Path(__file__).parent / "schema" / "compose-spec.json").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("microservice", "worker")
STORES = ("redis", "redis-cache")
SET_BY_HAND = {"CUDA_VISIBLE_DEVICES"}
"""Variables of the SadTalker microservice that no setting of ours reads."""


def test_file_is_what_the_compose_specification_allows() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    problems = [
        f"{error.json_path}: {error.message}"
        for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(COMPOSE)
    ]
    assert problems == []
    broken = {"services": {"redis": {"image": 7}}}
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(broken), "the schema allows everything"


def test_services_are_those_of_the_microservice_and_its_two_stores() -> None:
    assert set(SERVICES) == {*OURS, *STORES}


def test_only_the_api_can_be_reached_from_outside() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"microservice": ["8000:8000"]}


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_has_rights_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert "healthcheck" in service


@pytest.mark.parametrize("name", OURS)
def test_our_services_wait_for_healthy_stores(name: str) -> None:
    waits = SERVICES[name]["depends_on"]
    assert {store: waits[store]["condition"] for store in STORES} == dict.fromkeys(STORES, "service_healthy")


@pytest.mark.parametrize("name", OURS)
def test_variables_are_settings_and_lead_to_both_stores(name: str) -> None:
    environment = {key: expanded(str(value)) for key, value in SERVICES[name]["environment"].items()}
    fields = {field.upper() for field in Settings.model_fields}
    assert set(environment) - fields == SET_BY_HAND
    assert {"REDIS_HOST", "REDIS_PORT", "REDIS_DB", "QUEUE_URL"} <= set(environment)
    settings = Settings.model_validate({key.lower(): value for key, value in environment.items() if value})
    urls = store_urls(settings)
    assert urls.cache == "redis://redis-cache:6379/0"
    assert urls.queue == "redis://redis:6379/0"
    assert not urls.embedded_cache
    assert not urls.embedded_queue


def expanded(value: str) -> str:
    """`${NAME:-default}` where NAME is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def test_api_and_worker_share_the_artefacts_and_no_other_folder() -> None:
    for name in OURS:
        assert SERVICES[name]["volumes"] == ["artefacts:/data/artefacts"]
        assert SERVICES[name]["environment"]["ARTEFACT_URL"] == "file:///data/artefacts"


def test_worker_has_longer_to_stop_than_its_job_may_take() -> None:
    grace = float(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings().shutdown_grace_seconds


def test_queue_evicts_nothing_and_outlives_a_kill() -> None:
    with store("redis") as server:
        assert check_queue_server(server.client, shared=False) == ()
        server.client.set("session:1", "queued")
        written(server.client)
        server.process.kill()
        server.process.wait()
        server.start()
        assert server.client.get("session:1") == b"queued"


def test_cache_drops_what_was_not_used_for_longest_and_keeps_nothing_on_disk() -> None:
    with store("redis-cache") as server:
        wanted = {"maxmemory-policy": "allkeys-lru", "maxmemory": str(2 * 1024**3)}
        assert {key: server.client.config_get(key)[key] for key in wanted} == wanted
        server.client.set("face_mesh:1", b"x" * 1000)
        server.stop()
        assert [path.name for path in server.folder.iterdir()] == []


class Store:
    """The server of a service of the file, on a port and in a folder of the test."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        program, *arguments = SERVICES[name]["command"]
        assert program == "valkey-server"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        ours = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder)]
        self.command = [str(server_program()), *arguments, *ours]
        self.client = redis.Redis(port=self.port, decode_responses=False)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                if self.client.ping():
                    return
            except redis.RedisError:
                time.sleep(0.05)
        raise AssertionError("the server does not answer")

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(20)


@contextmanager
def store(name: str) -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="st-") as folder:
        server = Store(name, Path(folder))
        try:
            yield server
        finally:
            server.stop()
