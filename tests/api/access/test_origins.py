"""Without keys the service accepts only pages and programs of its own machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.running_api import RunningApi, image_bytes, running_api
from tests.support.servers import StoreServer

from sadtalker_service.api.access.origins import AllowedCallers
from sadtalker_service.settings import Settings

FILES = {"image_file": ("me.png", image_bytes(), "image/png")}


def get_as(api: RunningApi, host: str, path: str = "/api/avatar", **headers: str) -> httpx.Response:
    """GET with another host name."""
    with api.client() as client:
        return client.get(path, headers={"Host": host, **headers})


def upload_from(api: RunningApi, **headers: str) -> tuple[int, str | None]:
    """Status and code of an upload by a page."""
    with api.client() as client:
        answer = client.post(
            "/api/avatar/upload", files=FILES, headers={n.replace("_", "-"): v for n, v in headers.items()}
        )
    return answer.status_code, answer.json().get("error", {}).get("code")


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:8000", "localhost.", "studio.localhost:80", "127.0.0.1:1", "127.9.9.9"),
        *("[::1]", "[::1]:8000", "[::ffff:127.0.0.1]"),
    ],
)
def test_host_names_of_this_machine_are_accepted(api: RunningApi, host: str) -> None:
    assert get_as(api, host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("notlocalhost", "10.0.0.5", "[2001:db8::1]:8000", "0.0.0.0", "2130706433"),  # noqa: S104
    ],
)
def test_other_host_names_are_refused(api: RunningApi, host: str) -> None:
    answer = get_as(api, host)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host_not_allowed")
    assert get_as(api, host, "/").status_code == 403
    assert get_as(api, host, "/livez").status_code == 200  # health checks may use any name
    assert get_as(api, host, "/readyz").status_code in {200, 503}


@pytest.mark.parametrize(
    "host", ["", " ", "a b", "localhost:", "localhost:x", "user@localhost", "a/b", "[::1"]
)
def test_invalid_host_header_is_refused(api: RunningApi, host: str) -> None:
    assert raw(api, b"Host: " + host.encode()) == (400, "malformed_request")


@pytest.mark.parametrize("keys", [False, True])
def test_exactly_one_host_header_is_required(api: RunningApi, api_settings: Settings, keys: bool) -> None:
    settings = api_settings.model_copy(
        update={"api_keys": json.dumps([{"name": "cluster", "key": "k"}])} if keys else {}
    )
    with running_api(settings) as other:
        assert raw(other, b"X: y") == (400, "malformed_request")
        assert raw(other, b"Host: localhost\r\nHost: localhost") == (400, "malformed_request")
        assert raw(other, b"Host: localhost\r\nhost: evil.example") == (400, "malformed_request")
        assert raw(other, b"Host: localhost") == (200, None)
        assert raw(other, b"X: y", "1.0") == (200, None)


def raw(api: RunningApi, headers: bytes, version: str = "1.1") -> tuple[int, str | None]:
    """Status and code of `GET /docs/errors` with these headers."""
    parts = urlsplit(api.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        connection.sendall(
            b"GET /docs/errors HTTP/%s\r\n%s\r\nConnection: close\r\n\r\n" % (version.encode(), headers)
        )
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    return int(answer.split(b" ")[1]), body.get("error", {}).get("code")


def test_own_pages_and_programs_may_change_something(api: RunningApi) -> None:
    assert upload_from(api)[0] == 202
    assert upload_from(api, Origin=api.url, Sec_Fetch_Site="same-origin")[0] == 202
    assert upload_from(api, Origin=api.url)[0] == 202
    assert upload_from(api, Sec_Fetch_Site="none")[0] == 202
    assert upload_from(api, Host="studio.localhost", Origin="http://studio.localhost:80")[0] == 202


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        *(("https://evil.example", None), ("https://evil.example", "same-origin"), ("null", "cross-site")),
        *(("http://localhost:3000", "same-site"), ("http://127.0.0.1", None), ("", None), ("x:y", None)),
        *((None, "cross-site"), (None, "same-site"), (None, "anything"), ("http://[", None)),
    ],
)
def test_other_pages_may_not_change_anything(api: RunningApi, origin: str | None, site: str | None) -> None:
    headers = {"Origin": origin, "Sec_Fetch_Site": site}
    given = {name: value for name, value in headers.items() if value is not None}
    assert upload_from(api, **given) == (403, "origin_not_allowed")
    assert api.services.avatars.count() == 0
    with api.client() as client:
        sent = {name.replace("_", "-"): value for name, value in given.items()}
        assert client.delete(f"/api/avatar/{'a' * 64}", headers=sent).status_code == 403
        assert client.get("/api/avatar", headers=sent).status_code == 200  # the page cannot read it


@pytest.fixture(scope="module")
def _open_api(api_settings: Settings) -> Iterator[RunningApi]:
    settings = api_settings.model_copy(
        update={
            "cors_origins": "https://cluster.example, http://localhost:3000",
            "allowed_hosts": "avatars.lan, Microservice",
            "host": "10.1.2.3",
        }
    )
    with running_api(settings) as api:
        yield api


@pytest.fixture
def open_api(_open_api: RunningApi, queue_server: StoreServer, cache_server: StoreServer) -> RunningApi:
    """An API with allowed hosts and origins."""
    _open_api.work()
    return _open_api


def test_hosts_and_origins_in_the_settings_are_allowed(open_api: RunningApi) -> None:
    for host in ("avatars.lan", "AVATARS.lan:8000", "microservice:8000", "cluster.example", "10.1.2.3:8000"):
        assert get_as(open_api, host).status_code == 200, host
    assert get_as(open_api, "other.lan").status_code == 403
    for origin in ("https://cluster.example", "http://localhost:3000"):
        assert upload_from(open_api, Origin=origin, Sec_Fetch_Site="cross-site")[0] in {200, 202}
    assert upload_from(open_api, Origin="https://cluster.example.evil.example")[0] == 403
    with open_api.client() as client:
        asks = {"Origin": "https://cluster.example", "Access-Control-Request-Method": "POST"}
        assert client.options("/api/avatar/upload", headers=asks).status_code == 200


def test_with_keys_only_the_keys_count(api_settings: Settings, api: RunningApi) -> None:
    keys = json.dumps([{"name": "cluster", "key": "k-1"}])
    with running_api(api_settings.model_copy(update={"api_keys": keys})) as guarded:
        headers = {"Host": "avatars.example", "Origin": "https://elsewhere.example", "X-API-Key": "k-1"}
        assert upload_from(guarded, **headers)[0] in {200, 202}


def test_address_of_the_connection_is_allowed() -> None:
    callers = AllowedCallers(lambda *_: None, Settings(), open_to_all=False)
    scope: dict[str, object] = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/",
        "server": ("172.18.0.4", 80),
    }
    callers._check({**scope, "headers": [(b"host", b"172.18.0.4:8000")]})
    with pytest.raises(Exception, match="does not answer to the host name"):
        callers._check({**scope, "headers": [(b"host", b"172.18.0.5:8000")]})
