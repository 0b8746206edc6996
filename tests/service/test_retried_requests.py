"""A request whose API process is killed is sent again, and quickly becomes exactly one session."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
import redis
from tests.support.running_service import PATTERN_ENGINE, RunningService, children, command_line, until

from sadtalker_service.media.image import encode_png
from sadtalker_service.state.idempotency import LEASE_SECONDS

RECORDING = (Path(__file__).parents[2] / "examples" / "speech.wav").read_bytes()
NAME = {"Idempotency-Key": "order-7"}


@pytest.fixture
def service(data_dir: Path) -> Iterator[RunningService]:
    with RunningService(data_dir, PATTERN_ENGINE) as running:
        yield running


def inspector(service: RunningService) -> int:
    """Return the process that inspects uploads."""
    found: list[int] = []

    def there() -> bool:
        found[:] = [pid for pid in children(service.pid("api")) if "inspection_process" in command_line(pid)]
        return bool(found)

    until(there, "the start of the inspector")
    return found[0]


def test_request_of_a_killed_api_process_succeeds_when_sent_again(service: RunningService) -> None:
    queue = redis.Redis(unix_socket_path=str(service.data_dir / "run" / "queue.sock"))
    noise = np.random.default_rng(4).integers(90, 250, (96, 128, 3), dtype=np.uint8)
    with httpx.Client(base_url=service.url, timeout=60) as client:
        files = {"image_file": ("face.png", encode_png(noise))}
        image_id = client.post("/api/avatar/upload", files=files).json()["image_id"]

        def send() -> httpx.Response:
            data, files = {"image_id": image_id}, {"audio_file": ("speech.wav", RECORDING)}
            return client.post("/api/standard/generate", data=data, files=files, headers=NAME)

        def send_in_vain() -> None:
            with suppress(httpx.TransportError):
                send()

        stuck = inspector(service)
        os.kill(stuck, signal.SIGSTOP)  # the request stops between its claim and its session
        try:
            first = threading.Thread(target=send_in_vain)
            first.start()
            until(lambda: bool(queue.keys("idempotency:*")), "the claim of the first request")
            assert send().status_code == 409  # while it is alive
            service.kill("api")
            killed_at = time.monotonic()
            first.join(30)
        finally:
            os.kill(stuck, signal.SIGKILL)
        answers: list[httpx.Response] = []
        while not answers or answers[-1].status_code == 409:
            with suppress(httpx.TransportError):
                answers.append(send())
                if answers[-1].status_code == 409:
                    pause = int(answers[-1].headers["retry-after"])
                    assert 1 <= pause <= LEASE_SECONDS
                    time.sleep(pause)
            assert time.monotonic() < killed_at + 45, "the claim of the dead request does not end"
        assert answers[-1].status_code == 202, answers[-1].text
        session_id = answers[-1].json()["session_id"]
        assert send().json()["session_id"] == session_id
    assert queue.keys("session:*") == [f"session:{session_id}".encode()]
