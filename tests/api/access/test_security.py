"""API keys, rights, rate limits; invalid ids; headers for browsers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.running_api import RunningApi, audio_bytes, image_bytes, running_api
from tests.support.servers import StoreServer

from sadtalker_service.api.access.security import KeyRing, load_keys
from sadtalker_service.errors import StoreMisconfigured
from sadtalker_service.settings import Settings

KEYS = [
    {"name": "cluster", "key": "k-cluster-1234567890"},
    {"name": "guest", "key": "k-guest-1234567890", "vip": False},
    {"name": "slow", "key": "k-slow-1234567890", "per_minute": 5},
]
SHOP, GUEST, SLOW = ({"X-API-Key": str(entry["key"])} for entry in KEYS)


@pytest.fixture(scope="module")
def _guarded(api_settings: Settings) -> Iterator[RunningApi]:
    settings = api_settings.model_copy(
        update={"api_keys": json.dumps(KEYS), "cors_origins": "https://cluster.example"}
    )
    with running_api(settings) as api:
        yield api


@pytest.fixture
def guarded(_guarded: RunningApi, queue_server: StoreServer, cache_server: StoreServer) -> RunningApi:
    """An API that requires keys."""
    _guarded.work()
    return _guarded


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/avatar"),
        ("POST", "/api/avatar/upload"),
        ("GET", f"/api/avatar/status/{'a' * 64}"),
        ("DELETE", f"/api/avatar/{'a' * 64}"),
        ("GET", f"/api/image/{'a' * 64}/summary"),
        ("POST", "/api/vip/generate"),
        ("GET", "/api/vip/status/00000000-0000-4000-8000-000000000000"),
        ("GET", "/api/vip/download/00000000-0000-4000-8000-000000000000"),
        ("GET", "/api/vip/events/00000000-0000-4000-8000-000000000000"),
        ("GET", "/api/vip/stream/00000000-0000-4000-8000-000000000000"),
        ("GET", "/api/cache/stats"),
        ("GET", "/metrics"),
        ("GET", "/"),
    ],
)
def test_routes_about_users_need_a_key(guarded: RunningApi, method: str, path: str) -> None:
    with guarded.client() as client:
        wrong = ({"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"Authorization": "x"})
        for headers in ({}, *wrong):
            answer = client.request(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "unauthorized"
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/docs", "/redoc", "/openapi.json", "/docs/errors"])
def test_public_routes_need_no_key(guarded: RunningApi, path: str) -> None:
    with guarded.client() as client:
        assert client.get(path).status_code == 200


def test_key_is_accepted_in_either_header(guarded: RunningApi) -> None:
    with guarded.client() as client:
        assert client.get("/api/avatar", headers=SHOP).status_code == 200
        bearer = {"Authorization": f"Bearer {SHOP['X-API-Key']}"}
        assert client.get("/api/avatar", headers=bearer).status_code == 200


def test_key_without_vip_right_uses_the_standard_lane(guarded: RunningApi) -> None:
    with guarded.client(headers=GUEST) as client:
        image_id = guarded.upload(client)["image_id"]
        refused = guarded.generate(client, image_id)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        assert guarded.generate(client, image_id, lane="standard").status_code == 202


def test_rate_limited_response_has_the_time_to_wait(guarded: RunningApi) -> None:
    with guarded.client(headers=SLOW) as client:
        answers = [client.get("/api/avatar") for _ in range(8)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3
    assert answers[-1].json()["error"]["code"] == "rate_limited"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 12
    with guarded.client(headers=SHOP) as client:
        assert client.get("/api/avatar").status_code == 200


def test_rate_limit_is_shared_by_all_instances(guarded: RunningApi, api_settings: Settings) -> None:
    settings = api_settings.model_copy(update={"api_keys": json.dumps(KEYS)})
    with (
        running_api(settings) as other,
        guarded.client(headers=SLOW) as here,
        other.client(headers=SLOW) as there,
    ):
        codes = [client.get("/api/avatar").status_code for client in (here, there) * 4]
    assert codes == [200] * 5 + [429] * 3


def test_idempotency_keys_are_separate_per_caller(guarded: RunningApi) -> None:
    name = {"Idempotency-Key": "mine"}
    with guarded.client() as client:
        files = {"image_file": ("me.png", image_bytes())}
        for owner in (SHOP, GUEST):
            image_id = client.post("/api/avatar/upload", files=files, headers=owner).json()["image_id"]
        first = guarded.generate(client, image_id, lane="standard", headers={**SHOP, **name})
        second = guarded.generate(client, image_id, audio_bytes(2), "standard", headers={**GUEST, **name})
    assert (first.status_code, second.status_code) == (202, 202)


def test_allowed_origins_get_cors_headers(guarded: RunningApi) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    with guarded.client() as client:
        known = client.options("/api/avatar/upload", headers={"Origin": "https://cluster.example", **asked})
        assert known.status_code == 200
        assert known.headers["access-control-allow-origin"] == "https://cluster.example"
        other = client.options("/api/avatar/upload", headers={"Origin": "https://evil.example", **asked})
        assert "access-control-allow-origin" not in other.headers


def test_no_origin_is_allowed_by_default(api: RunningApi, client: httpx.Client) -> None:
    answer = client.get("/livez", headers={"Origin": "https://cluster.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_keys_are_stored_only_as_digests(tmp_path: Path) -> None:
    keys = load_keys(Settings(api_keys=json.dumps(KEYS)))
    assert all(str(entry["key"]) not in repr(keys) for entry in KEYS)
    found = KeyRing(keys).find("k-guest-1234567890")
    assert found is not None
    assert (found.name, found.vip, found.per_minute) == ("guest", False, None)
    assert KeyRing(keys).find("k-guest-123456789") is None
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(KEYS[:1]))
    assert [key.name for key in load_keys(Settings(api_keys_file=file))] == ["cluster"]


@pytest.mark.parametrize(
    "text",
    [
        *("no json", "{}", '[{"name": "a"}]', '[{"name": "a", "key": "secret", "colour": 1}]'),
        *('[{"name": "a", "key": "secret"}, {"name": "b", "key": "secret"}]', '[{"name": "a", "owner": ""}]'),
        *('[{"name": "a", "key": "two words"}]', '[{"name": "a", "key": "b"}, {"name": "a", "key": "c"}]'),
    ],
)
def test_unreadable_keys_are_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(StoreMisconfigured) as caught:
        load_keys(Settings(api_keys=text))
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "name",
    [
        *("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f", "a" * 63, "a" * 65, "A" * 64, "g" * 64),
        *("%00", "*", "a" * 64 + "%0a", "\u0660" * 64, "%F0%9F%98%80", "a" * 5000, "'; drop", "{id}"),
    ],
)
def test_invalid_id_of_a_source_image_is_unknown(api: RunningApi, client: httpx.Client, name: str) -> None:
    for method, path in (
        ("GET", f"/api/avatar/status/{name}"),
        ("GET", f"/api/image/{name}/summary"),
        ("GET", f"/api/avatar/{name}/visemes"),
        ("GET", f"/api/avatar/{name}/preview"),
        ("GET", f"/api/avatar/{name}/gestures/smile"),
        ("DELETE", f"/api/avatar/{name}"),
    ):
        answer = client.request(method, path)
        assert answer.status_code in {404, 405}, (method, path, answer.text)
        assert answer.json()["error"]["code"] in {"not_found", "method_not_allowed"}


def test_responses_forbid_content_sniffing(api: RunningApi, client: httpx.Client) -> None:
    for path in ("/livez", "/api/avatar", "/api/avatar/status/x", "/docs/errors"):
        assert client.get(path).headers["x-content-type-options"] == "nosniff"


def test_request_ids_are_created_and_accepted(api: RunningApi, client: httpx.Client) -> None:
    assert client.get("/livez").headers["x-request-id"] != client.get("/livez").headers["x-request-id"]
    assert client.get("/livez", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    for wrong in ("a" * 65, "a b", "<script>"):
        assert client.get("/livez", headers={"X-Request-ID": wrong}).headers["x-request-id"] != wrong


def test_unknown_path_and_method(api: RunningApi, client: httpx.Client) -> None:
    for path in ("/nothing", "/api", "/api/vip", "/api/avatar/", "/livez/"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    answer = client.put("/api/avatar/upload", content=image_bytes())
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    answer = client.put("/api/live/0b8f8f6e-5f0e-4a53-9d0f-3f0f5f1f2f3f")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET")
