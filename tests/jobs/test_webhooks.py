"""Callbacks: their content, receivers and retries, with a real receiver on a real socket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.support.servers import StoreServer

from sadtalker_service.domain import VideoResult
from sadtalker_service.errors import InvalidOption, StoreMisconfigured
from sadtalker_service.jobs.addresses import is_public
from sadtalker_service.jobs.janitor import deliver_due
from sadtalker_service.jobs.webhooks import WebhookSender, check_receiver, read_secret
from sadtalker_service.options import RenderOptions
from sadtalker_service.settings import Settings
from sadtalker_service.state.records import Failure, Session, VideoSpec
from sadtalker_service.state.webhook_queue import TRIES, Callback, WebhookQueue, callback_of, delay_after

SECRET = base64.b64encode(b"twenty-four bytes secret").decode()


class Receiver(ThreadingHTTPServer):
    """Stores what it receives, and answers with the status in the path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.received: list[tuple[str, dict[str, str], bytes]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class _Answer(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(int(self.path[1:4]))
        self.send_header("Location", self.server.url("200"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def settings(folder: Path, **changes: object) -> Settings:
    values = {
        "data_dir": folder,
        "webhook_allow_private": True,
        "webhook_secret": f"whsec_{SECRET}",
        **changes,
    }
    return Settings(_env_file=None, **values)


def ended(url: str, **changes: object) -> Session:
    outcome = VideoResult(64, 64, 25, 50, 2.0, 1000, 1.0, {}, 0.0, warnings=("none",), engine="pattern")
    values = {
        "state": "ready",
        "outcome": outcome,
        "ended_at": 1_700_000_000.25,
        "user_data": "order 7",
        **changes,
    }
    spec = VideoSpec("a" * 64, "b" * 64, RenderOptions(), "pattern", "1", 2.0)
    return Session("s-1", "vip", spec, "c" * 64, 1.0, callback_url=url, **values)


def test_receiver_gets_the_result_of_the_session(receiver: Receiver, tmp_path: Path) -> None:
    results = WebhookSender(settings(tmp_path)).deliver([callback_of(ended(receiver.url("200")))])
    assert results == ("delivered",)
    ((_, headers, body),) = receiver.received
    assert headers["content-type"] == "application/json"
    content = json.loads(body)
    assert content["type"] == "video.ready"
    assert content["timestamp"] == "2023-11-14T22:13:20.250Z"
    assert content["data"]["session_id"] == "s-1"
    assert content["data"]["download_url"] == "/api/vip/download/s-1"
    assert content["data"]["user_data"] == "order 7"
    assert content["data"]["warnings"] == ["none"]


def test_failed_session_includes_its_error() -> None:
    failure = Failure("worker_lost", "The worker died.", retryable=True)
    content = json.loads(callback_of(ended("http://x", state="failed", outcome=None, failure=failure)).body)
    assert content["type"] == "video.failed"
    assert content["data"]["error"]["code"] == "worker_lost"
    assert "download_url" not in content["data"]


def test_signature_follows_standard_webhooks(receiver: Receiver, tmp_path: Path) -> None:
    WebhookSender(settings(tmp_path), clock=lambda: 1_700_000_001.9).deliver(
        [Callback("m-1", receiver.url("200"), "{}")]
    )
    ((_, headers, body),) = receiver.received
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("m-1", "1700000001")
    signed = b"m-1.1700000001." + body
    expected = hmac.new(b"twenty-four bytes secret", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()


def test_without_a_secret_nothing_is_signed(receiver: Receiver, tmp_path: Path) -> None:
    WebhookSender(settings(tmp_path, webhook_secret="")).deliver([Callback("m-1", receiver.url("200"), "{}")])
    ((_, headers, _),) = receiver.received
    assert "webhook-signature" not in headers


@pytest.mark.parametrize("text", ["whsec_not base64!", "äöü", "whsec_abc"])
def test_unreadable_secret_is_refused(text: str) -> None:
    with pytest.raises(StoreMisconfigured):
        read_secret(text)


def test_status_of_the_response_decides_about_a_retry(receiver: Receiver, tmp_path: Path) -> None:
    paths = ("204", "500", "404", "307", "410")
    callbacks = [Callback(path, receiver.url(path), "{}") for path in paths]
    closed = Callback("closed", "http://127.0.0.1:9/", "{}")
    results = WebhookSender(settings(tmp_path)).deliver([*callbacks, closed])
    assert results == ("delivered", "refused", "refused", "refused", "given_up", "refused")
    assert sorted(path for path, _, _ in receiver.received) == sorted(f"/{path}" for path in paths)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/200", "http://localhost:{port}/200", "http://[::1]:{port}/200",
        "http://[::ffff:127.0.0.1]:{port}/200", "http://0.0.0.0:{port}/200", "http://169.254.169.254/200",
        "http://10.0.0.1/200", "file:///etc/passwd", "http:///200", "gopher://127.0.0.1/200",
    ],
)  # fmt: skip
def test_private_addresses_are_not_called(receiver: Receiver, tmp_path: Path, url: str) -> None:
    callback = Callback("m-1", url.format(port=receiver.server_port), "{}")
    assert WebhookSender(settings(tmp_path, webhook_allow_private=False)).deliver([callback]) == ("given_up",)
    assert receiver.received == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("100.64.0.1", False), ("::", False), ("2606:4700::1111", True),
        # IPv4 addresses embedded in IPv6, which a gateway or a tunnel would use
        ("64:ff9b::7f00:1", False), ("64:ff9b::a00:1", False), ("64:ff9b::5db8:d822", True),
        ("64:ff9b:1::1", False), ("2002:a00:1::1", False), ("2002:5db8:d822::1", True),
        ("::127.0.0.1", False), ("::ffff:10.0.0.1", False), ("2001:0:a00:1::1", False),
        ("::ffff:93.184.216.34", True), ("2001:0:5db8:d822::1", False), ("2002:7f00:1::", False),
        # the IANA special-purpose registries
        ("0.1.2.3", False), ("10.1.2.3", False), ("127.1.2.3", False), ("169.254.169.254", False),
        ("172.31.255.255", False), ("172.32.0.1", True), ("192.0.0.8", False), ("192.0.0.9", False),
        ("192.0.2.1", False), ("192.31.196.1", False), ("192.52.193.1", False), ("192.88.99.1", False),
        ("192.168.1.1", False), ("192.175.48.1", False), ("198.18.0.1", False), ("198.19.255.255", False),
        ("198.20.0.1", True), ("198.51.100.1", False), ("203.0.113.1", False), ("224.0.0.1", False),
        ("239.255.255.250", False), ("240.0.0.1", False), ("255.255.255.255", False),
        ("::1", False), ("fec0::1", False), ("feff::1", False), ("fe80::1%eth0", False), ("fc00::1", False),
        ("fdff::1", False), ("ff02::1", False), ("ff0e::1", False), ("100::1", False), ("2001:2::1", False),
        ("2001:20::1", False), ("2001:db8::1", False), ("3fff:1::1", False), ("5f00::1", False),
        ("2620:4f:8000::1", False), ("4000::1", False), ("2a00:1450:4001:800::200e", True),
    ],
)  # fmt: skip
def test_public_addresses_are_distinguished_from_private_ones(address: str, public: bool) -> None:
    assert is_public(address) == public


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/hook", "http://localhost:9/hook", "https://LOCALHOST./", "http://a.localhost/"),
        *("http://10.0.0.1", "http://[::1]:8000/", "http://[fec0::1]/", "http://[::ffff:192.168.0.1]/"),
        *("http://169.254.169.254/latest/meta-data", "http://metadata.google.internal/", "http://nas.local/"),
        *("http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://0/"),
    ],
)
def test_private_receiver_is_refused_at_once(tmp_path: Path, url: str) -> None:
    closed = Settings(data_dir=tmp_path)
    with pytest.raises(InvalidOption) as caught:
        asyncio.run(check_receiver(url, closed))
    assert caught.value.param == "callback_url"
    assert "WEBHOOK_ALLOW_PRIVATE" in caught.value.message
    asyncio.run(check_receiver(url, closed.model_copy(update={"webhook_allow_private": True})))


def test_public_receiver_is_accepted(tmp_path: Path) -> None:
    for url in ("https://93.184.216.34/hook", "https://name-that-nobody-knows.invalid/hook"):
        asyncio.run(check_receiver(url, Settings(data_dir=tmp_path)))


def test_delays_grow_from_seconds_to_an_hour() -> None:
    delays = [delay_after(tries) for tries in range(1, TRIES)]
    assert delays[0] == 5.0
    assert delays == sorted(delays)
    assert delays[-1] == 3600.0


def test_a_callback_is_tried_eight_times_and_given_up(
    queue_server: StoreServer, receiver: Receiver, tmp_path: Path
) -> None:
    clock = [1_000.0]
    queue = WebhookQueue(queue_server.client(), lambda: clock[0])
    queue.add(Callback("m-1", receiver.url("503"), "{}"))
    queue.add(Callback("m-1", receiver.url("503"), "{}"))  # a duplicate, so it is sent once
    for tries in range(1, TRIES + 1):
        assert deliver_due(queue, settings(tmp_path)) == 0
        assert len(receiver.received) == tries
        assert deliver_due(queue, settings(tmp_path)) == 0  # not due yet
        assert len(receiver.received) == tries
        clock[0] += delay_after(tries) + 1
    assert queue.count() == 0


def test_claimed_callback_is_exclusive_until_the_claim_expires(
    queue_server: StoreServer,
) -> None:
    clock = [1_000.0]
    queue = WebhookQueue(queue_server.client(), lambda: clock[0])
    queue.add(Callback("m-1", "http://x/", "{}"))
    assert [callback.callback_id for callback in queue.claim()] == ["m-1"]
    assert queue.claim() == ()
    clock[0] += 61
    assert [callback.callback_id for callback in queue.claim()] == ["m-1"]
