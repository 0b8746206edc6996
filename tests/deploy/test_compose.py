"""The compose files are valid and restrictive, and configure their stores correctly.

These tests need no Docker. They check the files, each alone and both together, against the schema of the
Compose Specification, and run the commands of the stores with the embedded server's program.
test_compose_tool.py reads the files with the real program.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import redis
import yaml
from tests.support.compose import read_compose
from tests.support.servers import written

from sadtalker_service.settings import Settings
from sadtalker_service.store.connections import check_queue_server, store_urls
from sadtalker_service.supervisor.embedded_stores import server_program
from sadtalker_service.worker.live.process import live_address

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((Path(__file__).parent / "schema" / "compose-spec.json").read_text())
FILES = (REPOSITORY / "docker-compose.yml", REPOSITORY / "compose.gpu.yml")
PLAIN = read_compose(FILES[:1], {})
GPU = read_compose(FILES, {})
SERVICES: dict[str, dict[str, Any]] = PLAIN["services"]
GPU_SERVICES: dict[str, dict[str, Any]] = GPU["services"]
OURS = ("microservice", "worker", "live")
STORES = ("redis", "redis-cache")
NETWORKS = ("inference", "worker")
"""Services that use the GPU and the checkpoints."""


def both(*names: str) -> list[Any]:
    """Return services of the plain file and of both files together, as test parameters."""
    found = []
    for kind, services in (("plain", SERVICES), ("gpu", GPU_SERVICES)):
        wanted = names or tuple(services)
        found += [pytest.param(services[name], id=f"{kind}-{name}") for name in wanted if name in services]
    return found


@pytest.mark.parametrize(
    "document",
    [*(yaml.safe_load(file.read_text()) for file in FILES), PLAIN, GPU],
    ids=["docker-compose.yml", "compose.gpu.yml", "plain", "both"],
)
def test_file_matches_the_compose_specification(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    problems = [
        f"{error.json_path}: {error.message}"
        for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)
    ]
    assert problems == []
    broken = {"services": {**document["services"], "redis": {"image": 7}}}
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(broken), "the schema allows everything"


def test_services_are_those_of_the_microservice_and_its_two_stores() -> None:
    assert set(SERVICES) == {*OURS, *STORES}
    assert set(GPU_SERVICES) == {*OURS, *STORES, "inference", "checkpoints"}


@pytest.mark.parametrize("document", [PLAIN, GPU], ids=["plain", "gpu"])
def test_named_volumes_and_services_exist(document: dict[str, Any]) -> None:
    services = document["services"]
    for service in services.values():
        named = {volume.split(":")[0] for volume in service.get("volumes", ())}
        assert named <= set(document["volumes"])
        assert set(service.get("depends_on", ())) <= set(services)


@pytest.mark.parametrize("services", [SERVICES, GPU_SERVICES], ids=["plain", "gpu"])
def test_only_the_api_is_published_and_only_on_this_machine(
    services: dict[str, Any],
) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"microservice": ["127.0.0.1:8000:8000"]}


def test_chosen_address_is_published_and_passed_to_the_service() -> None:
    chosen = {"PUBLISH_ADDRESS": "192.0.2.7", "PUBLISH_PORT": "80", "API_KEYS": "[]"}
    service = read_compose(FILES, chosen)["services"]["microservice"]
    assert service["ports"] == ["192.0.2.7:80:8000"]
    assert service["environment"]["PUBLISH_ADDRESS"] == "192.0.2.7"
    assert service["environment"]["API_KEYS"] == "[]"
    assert SERVICES["microservice"]["environment"]["PUBLISH_ADDRESS"] == "127.0.0.1"


def test_third_party_images_are_pinned_by_digest() -> None:
    images = {service["image"] for service in GPU_SERVICES.values()}
    assert images - {"sadtalker:gpu"}
    for image in images - {"sadtalker:gpu"}:
        assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image)


def test_networks_get_one_gpu_by_its_number_on_the_host() -> None:
    services = read_compose(FILES, {"CUDA_VISIBLE_DEVICES": "2"})["services"]
    for name, service in services.items():
        assert "CUDA_VISIBLE_DEVICES" not in service.get("environment", {}), name
        assert ("deploy" in service) == (name in NETWORKS), name
    for name in NETWORKS:
        (device,) = services[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["driver"] == "nvidia"
        assert device["device_ids"] == ["2"]
        assert {"gpu", "compute"} <= set(device["capabilities"])
        assert services[name]["environment"]["SADTALKER_DEVICE"] == "cuda"


def test_gpu_image_is_built_with_the_extras_and_used_by_all_our_services() -> None:
    ours = {*OURS, "inference", "checkpoints"}
    assert {name for name in GPU_SERVICES if GPU_SERVICES[name]["image"] == "sadtalker:gpu"} == ours
    builds = [service["build"] for service in GPU_SERVICES.values() if "build" in service]
    assert builds
    for build in builds:
        assert build == {"context": ".", "args": {"EXTRAS": "sadtalker,enhance", "TORCH": "cuda"}}
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"sadtalker", "enhance"} <= set(extras)


def test_workers_find_the_inference_server_by_its_socket_in_a_volume() -> None:
    server, worker = GPU_SERVICES["inference"], GPU_SERVICES["worker"]
    socket_path = worker["environment"]["SADTALKER_INFERENCE"]
    assert server["command"] == ["sadtalker", "inference", "--socket", socket_path]
    assert socket_path in " ".join(server["healthcheck"]["test"])
    assert worker["depends_on"]["inference"]["condition"] == "service_healthy"
    for service in (server, worker):
        assert f"inference:{Path(socket_path).parent}" in service["volumes"]


def test_only_the_setup_service_writes_checkpoints() -> None:
    writer = GPU_SERVICES["checkpoints"]
    assert writer["profiles"] == ["setup"]
    assert writer["command"] == ["sadtalker", "models", "download"]
    folder = writer["environment"]["SADTALKER_CHECKPOINTS_PATH"]
    assert writer["volumes"] == [f"checkpoints:{folder}"]
    for name in NETWORKS:
        assert f"checkpoints:{folder}:ro" in GPU_SERVICES[name]["volumes"]
        assert GPU_SERVICES[name]["environment"]["SADTALKER_CHECKPOINTS_PATH"] == folder


@pytest.mark.parametrize("service", both())
def test_services_run_without_extra_rights(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert "healthcheck" in service


@pytest.mark.parametrize("service", both(*OURS))
def test_our_services_wait_for_healthy_stores(service: dict[str, Any]) -> None:
    waits = service["depends_on"]
    assert {store: waits[store]["condition"] for store in STORES} == dict.fromkeys(STORES, "service_healthy")


@pytest.mark.parametrize("service", both(*OURS, "inference", "checkpoints"))
def test_variables_are_valid_settings(service: dict[str, Any]) -> None:
    environment = service["environment"]
    assert set(environment) <= {field.upper() for field in Settings.model_fields}
    Settings.model_validate({key.lower(): value for key, value in environment.items() if value})


@pytest.mark.parametrize("service", both(*OURS))
def test_variables_name_both_stores(service: dict[str, Any]) -> None:
    environment = service["environment"]
    assert {"REDIS_HOST", "REDIS_PORT", "REDIS_DB", "QUEUE_URL"} <= set(environment)
    settings = Settings.model_validate({key.lower(): value for key, value in environment.items() if value})
    urls = store_urls(settings)
    assert urls.cache == "redis://redis-cache:6379/0"
    assert urls.queue == "redis://redis:6379/0"
    assert not urls.embedded_cache
    assert not urls.embedded_queue


def test_api_and_worker_share_the_artefacts_and_no_other_folder() -> None:
    for services in (SERVICES, GPU_SERVICES):
        volumes = [set(services[name]["volumes"]) for name in OURS]
        assert set.intersection(*volumes) == {"artefacts:/data/artefacts"}
        for name in OURS:
            assert services[name]["environment"]["ARTEFACT_URL"] == "file:///data/artefacts"


def test_live_process_answers_the_api_where_it_says(tmp_path: Path) -> None:
    service = SERVICES["live"]
    program, command, *options = service["command"]
    assert (program, command) == ("sadtalker", "live")
    environment = {key.lower(): value for key, value in service["environment"].items() if value}
    settings = Settings.model_validate({**environment, "live_port": int(options[1]), "data_dir": tmp_path})
    assert options[0] == "--port"
    # containers of one service share its name, so each must be reached by its own
    assert live_address(settings, "live-1@host") == f"tcp://{socket.gethostname()}:{options[1]}"
    assert f"http://127.0.0.1:{options[1]}/livez" in " ".join(service["healthcheck"]["test"])


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ({"host": "192.0.2.7"}, "tcp://192.0.2.7:8600"),
        ({"host": "2001:db8::7"}, "tcp://[2001:db8::7]:8600"),
        ({"host": "::"}, f"tcp://{socket.gethostname()}:8600"),
        ({"host": "0.0.0.0", "live_address": "live.example:1"}, "tcp://live.example:1"),  # noqa: S104
    ],
)
def test_address_of_a_live_process(values: dict[str, Any], address: str) -> None:
    assert live_address(Settings(live_port=8600, **values), "live-1@host") == address


def test_worker_may_stop_later_than_its_grace_period() -> None:
    grace = float(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings().shutdown_grace_seconds


def test_queue_evicts_nothing_and_survives_a_kill() -> None:
    with store("redis") as server:
        assert check_queue_server(server.client, shared=False) == ()
        server.client.set("session:1", "queued")
        written(server.client)
        server.process.kill()
        server.process.wait()
        server.start()
        assert server.client.get("session:1") == b"queued"


def test_cache_evicts_least_recently_used_and_writes_nothing_to_disk() -> None:
    with store("redis-cache") as server:
        wanted = {"maxmemory-policy": "allkeys-lru", "maxmemory": str(2 * 1024**3)}
        assert {key: server.client.config_get(key)[key] for key in wanted} == wanted
        server.client.set("face_mesh:1", b"x" * 1000)
        server.stop()
        assert [path.name for path in server.folder.iterdir()] == []


class Store:
    """The server of a service in the compose file, on a free port and in a temporary folder."""

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
