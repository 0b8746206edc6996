"""`Idempotency-Key`: a repeated request creates no second session."""

from __future__ import annotations

import httpx
import pytest
from tests.support.running_api import RunningApi, audio_bytes, image_bytes

KEY = {"Idempotency-Key": "order-7"}


def test_same_key_and_request_give_the_same_session(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    first = api.generate(client, image_id, headers=KEY)
    session = api.begin(first.json()["session_id"])
    second = api.generate(client, image_id, headers=KEY)
    assert second.status_code == 202
    assert second.json()["session_id"] == first.json()["session_id"]
    assert second.json()["status"] == "generating"
    api.finish(session)
    third = api.generate(client, image_id, headers=KEY)
    assert (third.status_code, third.json()["status"]) == (200, "ready")
    assert len(api.known_sessions()) == 1


@pytest.mark.parametrize("change", ["field", "audio", "image"])
def test_same_key_with_a_different_request_is_refused(
    api: RunningApi, client: httpx.Client, change: str
) -> None:
    image_id = api.upload(client)["image_id"]
    assert api.generate(client, image_id, headers=KEY).status_code == 202
    other = api.upload(client, image_bytes(5))["image_id"] if change == "image" else image_id
    sound = audio_bytes(5) if change == "audio" else audio_bytes()
    fields = {"seed": "5"} if change == "field" else {}
    answer = api.generate(client, other, sound, headers=KEY, **fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert len(api.known_sessions()) == 1


def test_key_of_a_request_in_progress_is_refused(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    # the first request, between its claim and its session
    first = api.generate(client, image_id, headers=KEY)
    keys = api.services.queue.keys("idempotency:*")
    api.services.queue.hdel(keys[0], "done")
    answer = api.generate(client, image_id, headers=KEY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert first.status_code == 202


def test_key_of_a_refused_request_may_be_reused(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    assert api.generate(client, image_id, headers=KEY, quality="best").status_code == 422
    assert api.generate(client, image_id, headers=KEY).status_code == 202


def test_request_of_a_deleted_session_starts_again(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    first = api.generate(client, image_id, headers=KEY).json()["session_id"]
    api.make(first)
    api.services.queue.delete(f"session:{first}")
    answer = api.generate(client, image_id, headers=KEY)
    assert answer.json()["session_id"] != first
    again = api.generate(client, image_id, headers=KEY)
    assert again.json()["session_id"] == answer.json()["session_id"]


def test_lanes_have_separate_keys(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    vip = api.generate(client, image_id, headers=KEY)
    standard = api.generate(client, image_id, audio_bytes(2), "standard", headers=KEY)
    assert (vip.status_code, standard.status_code) == (202, 202)


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "ümlaut"])
def test_invalid_key_is_refused(api: RunningApi, client: httpx.Client, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("utf-8")}
    answer = api.generate(client, "a" * 64, headers=headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "Idempotency-Key")
