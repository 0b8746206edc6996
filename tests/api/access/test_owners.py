"""Two owners of one service: neither sees, ends or deletes what belongs to the other."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from tests.support.jobs import CARD
from tests.support.running_api import VIDEO, RunningApi, audio_bytes, image_bytes, running_api
from tests.support.servers import StoreServer

from sadtalker_service.settings import Settings
from sadtalker_service.state.live_records import LiveWorker

KEYS = [
    {"name": "cluster", "key": "k-cluster-1"},
    {"name": "cluster after a rotation", "key": "k-cluster-2", "owner": "cluster"},
    {"name": "bank", "key": "k-bank-1", "vip": False, "live": False},
    {"name": "operator", "key": "k-operator-1", "admin": True},
]
SHOP, SHOP_NEW, BANK, OPERATOR = ({"X-API-Key": entry["key"]} for entry in KEYS)
NOBODYS_IMAGE, NOBODYS_SESSION = "f" * 64, "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def _owned(api_settings: Settings) -> Iterator[RunningApi]:
    settings = api_settings.model_copy(update={"api_keys": json.dumps(KEYS), "max_waiting": 20})
    with running_api(settings) as api:
        yield api


@pytest.fixture
def owned(_owned: RunningApi, queue_server: StoreServer, cache_server: StoreServer) -> RunningApi:
    """An API with keys of three owners."""
    for entry in list(_owned.services.artefacts.entries("")):
        _owned.services.artefacts.delete(entry.name)
    _owned.work()
    return _owned


@pytest.fixture
def cluster(owned: RunningApi) -> Iterator[httpx.Client]:
    with owned.client(headers=SHOP) as client:
        yield client


@pytest.fixture
def bank(owned: RunningApi) -> Iterator[httpx.Client]:
    with owned.client(headers=BANK) as client:
        yield client


@pytest.fixture
def operator(owned: RunningApi) -> Iterator[httpx.Client]:
    with owned.client(headers=OPERATOR) as client:
        yield client


def status_and_message(answer: httpx.Response, name: str) -> tuple[int, str]:
    """Status and message of a response, without the requested id."""
    return answer.status_code, answer.text.replace(name, "ID")


def routes(owned: RunningApi, parameter: str) -> list[tuple[str, str]]:
    """(method, path) of every route with this parameter, from the OpenAPI document."""
    paths = owned.app.openapi()["paths"]
    return [(method.upper(), path) for path in paths for method in paths[path] if f"{{{parameter}}}" in path]


def test_every_route_of_an_avatar_hides_those_of_others(
    owned: RunningApi, cluster: httpx.Client, bank: httpx.Client
) -> None:
    image_id = owned.upload(cluster)["image_id"]
    owned.prepare(image_id)
    found = routes(owned, "image_id")
    assert len(found) >= 6
    for method, path in found:
        there = path.replace("{image_id}", image_id).replace("{name}", "smile")
        nowhere = path.replace("{image_id}", NOBODYS_IMAGE).replace("{name}", "smile")
        hidden, unknown = bank.request(method, there), bank.request(method, nowhere)
        assert status_and_message(hidden, image_id) == status_and_message(unknown, NOBODYS_IMAGE), (
            method,
            path,
        )
        assert hidden.status_code == 404
    assert cluster.get(f"/api/avatar/status/{image_id}").json()["status"] == "ready"


def test_every_route_of_a_session_hides_those_of_others(
    owned: RunningApi, cluster: httpx.Client, bank: httpx.Client
) -> None:
    session_id = owned.accepted(cluster, lane="standard")
    owned.make(session_id)
    found = routes(owned, "session_id")
    assert len(found) >= 5
    for method, template in found:
        path = template.replace("{lane}", "standard")
        hidden = bank.request(method, path.replace("{session_id}", session_id))
        unknown = bank.request(method, path.replace("{session_id}", NOBODYS_SESSION))
        assert status_and_message(hidden, session_id) == status_and_message(unknown, NOBODYS_SESSION), (
            method,
            path,
        )
        assert hidden.status_code == 404
    assert cluster.get(f"/api/standard/download/{session_id}").content == VIDEO


def test_key_without_vip_right_is_refused_on_every_vip_route(owned: RunningApi, bank: httpx.Client) -> None:
    session_id = owned.accepted(bank, lane="standard")
    of_lanes = [(method, path) for method, path in routes(owned, "session_id") if "{lane}" in path]
    assert len(of_lanes) >= 5
    for method, path in of_lanes:
        answer = bank.request(method, path.replace("{lane}", "vip").replace("{session_id}", session_id))
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden"), (method, path)


def test_live_session_belongs_to_the_owner_of_its_key(
    owned: RunningApi, cluster: httpx.Client, bank: httpx.Client, operator: httpx.Client
) -> None:
    facts = LiveWorker("unix:///nowhere.sock", slots=2, load=0.1, engines=(CARD.name,))
    owned.services.live.beat("live@host", facts)
    body = {"image_id": owned.upload(cluster)["image_id"]}
    started = cluster.post("/api/live", json=body)
    assert started.status_code == 201
    session_id = started.json()["session_id"]
    for method in ("GET", "DELETE"):
        hidden = bank.request(method, f"/api/live/{session_id}")
        unknown = bank.request(method, f"/api/live/{NOBODYS_SESSION}")
        assert status_and_message(hidden, session_id) == status_and_message(unknown, NOBODYS_SESSION)
        assert hidden.status_code == 404
    assert operator.get(f"/api/live/{session_id}").json()["status"] == "waiting"
    assert cluster.delete(f"/api/live/{session_id}").json()["reason"] == "ended_by_request"


def test_key_without_the_right_to_live_sessions_is_refused(owned: RunningApi, bank: httpx.Client) -> None:
    answer = bank.post("/api/live", json={"image_id": owned.upload(bank)["image_id"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_avatar_of_another_owner_cannot_be_used_live(
    owned: RunningApi, cluster: httpx.Client, bank: httpx.Client, operator: httpx.Client
) -> None:
    facts = LiveWorker("unix:///nowhere.sock", slots=2, load=0.1, engines=(CARD.name,))
    owned.services.live.beat("live@host", facts)
    image_id = owned.upload(bank)["image_id"]
    assert cluster.post("/api/live", json={"image_id": image_id}).status_code == 404
    assert operator.post("/api/live", json={"image_id": image_id}).status_code == 201


def test_avatar_of_another_owner_cannot_be_used_for_a_video(
    owned: RunningApi, cluster: httpx.Client, bank: httpx.Client
) -> None:
    image_id = owned.upload(cluster)["image_id"]
    hidden = owned.generate(bank, image_id, lane="standard")
    unknown = owned.generate(bank, NOBODYS_IMAGE, lane="standard")
    assert status_and_message(hidden, image_id) == status_and_message(unknown, NOBODYS_IMAGE)
    assert hidden.status_code == 404
    assert owned.known_sessions() == set()


def test_lists_and_figures_show_only_own_things(
    owned: RunningApi, cluster: httpx.Client, bank: httpx.Client, operator: httpx.Client
) -> None:
    mine = owned.upload(cluster)["image_id"]
    theirs = owned.upload(bank, image_bytes(2))["image_id"]
    session_id = owned.accepted(cluster, lane="standard")
    owned.begin(session_id)

    def listed(client: httpx.Client) -> set[str]:
        return {avatar["image_id"] for avatar in client.get("/api/avatar?limit=1").json()["avatars"]} | {
            avatar["image_id"] for avatar in client.get("/api/avatar").json()["avatars"]
        }

    assert (listed(cluster), listed(bank), listed(operator)) == ({mine}, {theirs}, {mine, theirs})
    json_only = {"Accept": "application/json"}
    for client, images, current in (
        (cluster, 1, session_id[:8]),
        (bank, 1, None),
        (operator, 2, session_id[:8]),
    ):
        home, stats = client.get("/", headers=json_only).json(), client.get("/api/cache/stats").json()
        assert home["cache_status"]["total_cached_images"] == images
        assert home["queue_status"]["current_session"] == current
        assert stats["performance_summary"]["total_images_processed"] == images
        assert stats["queue_status"]["current_session"] == current
        assert stats["queue_status"]["processing"] is True


def test_queue_names_own_running_session_only(
    owned: RunningApi, cluster: httpx.Client, bank: httpx.Client
) -> None:
    running = owned.accepted(cluster, lane="standard")
    owned.begin(running)
    waiting = owned.generate(bank, owned.upload(bank, image_bytes(2))["image_id"], lane="standard").json()[
        "session_id"
    ]
    info = bank.get(f"/api/standard/status/{waiting}").json()["queue_info"]
    assert (info["processing"], info["current_session"]) == (True, None)


def test_same_source_image_belongs_to_each_owner(
    owned: RunningApi, cluster: httpx.Client, bank: httpx.Client
) -> None:
    image_id = owned.upload(cluster)["image_id"]
    owned.upload(cluster, preprocess_mode="crop")
    owned.prepare(image_id)
    assert owned.upload(bank)["image_id"] == image_id
    theirs = bank.get(f"/api/image/{image_id}/summary").json()
    assert (theirs["preprocess_modes"], theirs["videos"]) == (["full"], 0)
    assert bank.get(f"/api/avatar/status/{image_id}?preprocess_mode=crop").status_code == 404
    first = cluster.get(f"/api/avatar/status/{image_id}").json()
    second = bank.get(f"/api/avatar/status/{image_id}").json()
    assert second["status"] == "ready"
    assert second["uploaded_at"] > first["uploaded_at"]
    assert second["processing_completed"] >= second["uploaded_at"]


def test_deletion_by_one_owner_keeps_everything_of_the_other(
    owned: RunningApi, cluster: httpx.Client, bank: httpx.Client
) -> None:
    image_id = owned.upload(cluster)["image_id"]
    owned.upload(bank)
    owned.prepare(image_id)
    shared = [
        owned.generate(client, image_id, audio_bytes(3), "standard").json()["session_id"]
        for client in (cluster, bank)
    ]
    owned.make(shared[0])
    alone = owned.generate(cluster, image_id, audio_bytes(4), "standard").json()["session_id"]
    owned.make(alone)
    waiting = [
        owned.generate(client, image_id, audio_bytes(seed), "standard").json()["session_id"]
        for client, seed in ((cluster, 5), (bank, 6))
    ]
    files = owned.kept()
    assert cluster.get(f"/api/image/{image_id}/summary").json()["videos"] == 2
    assert bank.get(f"/api/image/{image_id}/summary").json()["videos"] == 1

    assert cluster.delete(f"/api/avatar/{image_id}").status_code == 204

    assert cluster.delete(f"/api/avatar/{image_id}").status_code == 404
    assert cluster.get(f"/api/avatar/status/{image_id}").status_code == 404
    assert cluster.get("/api/avatar").json()["avatars"] == []
    states = {
        name: cluster.get(f"/api/standard/status/{name}").json() for name in (*shared[:1], alone, waiting[0])
    }
    assert states[waiting[0]]["status"] == "cancelled"
    for name in (shared[0], alone):
        assert (states[name]["status"], states[name]["error"]["code"]) == ("failed", "video_deleted")
        assert states[name]["download_url"] is None
        gone = cluster.get(f"/api/standard/download/{name}")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "video_deleted")
        assert cluster.get(f"/api/standard/stream/{name}").status_code == 404
        status_and_message = cluster.get(f"/api/standard/events/{name}").text
        assert '"status":"ready"' not in status_and_message

    assert bank.get(f"/api/avatar/status/{image_id}").json()["status"] == "ready"
    assert bank.get(f"/api/standard/download/{shared[1]}").content == VIDEO
    assert bank.get(f"/api/standard/status/{waiting[1]}").json()["status"] == "queued"
    assert len(files - owned.kept()) == 1  # the video that only the cluster had
    assert bank.delete(f"/api/avatar/{image_id}").status_code == 204
    assert {name for name in owned.kept() if not name.startswith("speech/")} == set()
    assert bank.get(f"/api/standard/status/{shared[1]}").json()["error"]["code"] == "video_deleted"


def test_shared_work_continues_for_the_other_owner(
    owned: RunningApi, cluster: httpx.Client, bank: httpx.Client
) -> None:
    image_id = owned.upload(cluster)["image_id"]
    owned.upload(bank)
    first, second = (
        owned.generate(client, image_id, lane="standard").json()["session_id"] for client in (cluster, bank)
    )
    run = owned.begin(first)
    assert cluster.delete(f"/api/avatar/{image_id}").status_code == 204
    assert cluster.get(f"/api/standard/status/{first}").json()["status"] == "cancelled"
    assert bank.get(f"/api/standard/status/{second}").json()["status"] == "generating"
    owned.finish(run)
    assert bank.get(f"/api/standard/download/{second}").content == VIDEO
    assert cluster.get(f"/api/standard/status/{first}").json()["status"] == "cancelled"


def test_two_keys_of_one_owner_see_the_same(owned: RunningApi, cluster: httpx.Client) -> None:
    session_id = owned.accepted(cluster, lane="standard")
    name = {"Idempotency-Key": "order-1"}
    image_id = owned.upload(cluster)["image_id"]
    once = owned.generate(cluster, image_id, audio_bytes(8), headers=name).json()["session_id"]
    with owned.client(headers=SHOP_NEW) as renewed:
        assert renewed.get(f"/api/standard/status/{session_id}").status_code == 200
        again = owned.generate(renewed, image_id, audio_bytes(8), headers=name).json()["session_id"]
        assert again == once
        assert renewed.delete(f"/api/standard/session/{session_id}").status_code == 202


def test_operator_sees_ends_and_deletes_things_of_all_owners(
    owned: RunningApi, cluster: httpx.Client, bank: httpx.Client, operator: httpx.Client
) -> None:
    image_id = owned.upload(cluster)["image_id"]
    owned.upload(bank)
    session_id = owned.generate(bank, image_id, lane="standard").json()["session_id"]
    assert operator.get(f"/api/standard/status/{session_id}").json()["status"] == "queued"
    made = owned.generate(operator, image_id, audio_bytes(7), "standard")
    assert made.status_code == 202  # made from an avatar of others, so it belongs to one of them
    assert bank.get(f"/api/standard/status/{made.json()['session_id']}").status_code == 200
    assert operator.delete(f"/api/standard/session/{session_id}").status_code == 202
    assert operator.delete(f"/api/avatar/{image_id}").status_code == 204
    for client in (cluster, bank):
        assert client.get(f"/api/avatar/status/{image_id}").status_code == 404
    assert not any(name.startswith("portraits/") for name in owned.kept())


def test_interrupted_deletion_is_finished_by_its_owner_only(
    owned: RunningApi, cluster: httpx.Client, bank: httpx.Client
) -> None:
    image_id = owned.upload(cluster)["image_id"]
    assert owned.services.avatars.disown(image_id, "cluster") is True  # then the process died
    assert bank.delete(f"/api/avatar/{image_id}").status_code == 404
    assert cluster.delete(f"/api/avatar/{image_id}").status_code == 204
    assert not owned.kept()
    assert cluster.delete(f"/api/avatar/{image_id}").status_code == 404
