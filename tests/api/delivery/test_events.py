"""Server-sent events of a session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import routing
from tests.support.running_api import RunningApi, audio_bytes

from sadtalker_service.api.delivery import events
from sadtalker_service.api.threads import THREADS


def read(lines: Iterator[str]) -> Iterator[tuple[str | None, dict[str, Any] | None]]:
    """(id, record) of each event, in any order of its lines; (None, None) for a comment."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
            continue
        if "data" in fields:
            yield fields.get("id"), json.loads(fields["data"])
        elif "retry" not in fields:
            yield None, None
        fields = {}


def test_events_cover_the_whole_session_and_end(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    session = api.begin(session_id)
    api.move(session, 25)
    api.finish(session)
    with client.stream("GET", f"/api/vip/events/{session_id}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        story = list(read(answer.iter_lines()))
    states = [record["status"] for _, record in story if record]
    assert states == ["queued", "generating", "generating", "ready"]
    last = story[-1][1]
    assert last is not None
    now = client.get(f"/api/vip/status/{session_id}").json()
    assert last == {**now, "completed_at": last["completed_at"]}
    assert story[2][1]["progress"]["frame"] == 25


def test_events_arrive_as_they_happen(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    seen: list[str] = []
    with client.stream("GET", f"/api/vip/events/{session_id}") as answer:
        for _, record in read(answer.iter_lines()):
            seen.append(record["status"])
            if seen[-1] == "queued":
                session = api.begin(session_id)  # started only now, so events are not held back
            elif seen[-1] == "generating":
                api.finish(session)
    assert seen == ["queued", "generating", "ready"]


def test_reconnecting_client_gets_missed_events(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    path = f"/api/vip/events/{session_id}"
    with client.stream("GET", path) as answer:
        last_id, record = next(read(answer.iter_lines()))
    assert record is not None
    assert record["status"] == "queued"
    api.make(session_id)
    for options in ({"headers": {"Last-Event-ID": last_id}}, {"params": {"after": last_id}}):
        with client.stream("GET", path, **options) as answer:
            rest = [record["status"] for _, record in read(answer.iter_lines()) if record]
        assert rest == ["generating", "ready"]


def test_invalid_event_id_means_the_beginning(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    api.make(session_id)
    headers = {"Last-Event-ID": "nonsense"}
    with client.stream("GET", f"/api/vip/events/{session_id}", headers=headers) as answer:
        _, record = next(read(answer.iter_lines()))
    assert record is not None
    assert record["status"] == "queued"


def test_queue_position_is_sent_while_waiting(
    api: RunningApi, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PAUSE_SECONDS", 0.1)
    first, second = api.accepted(client, audio_bytes(1)), api.accepted(client, audio_bytes(2))
    positions = []
    with client.stream("GET", f"/api/vip/events/{second}") as answer:
        for name, record in read(answer.iter_lines()):
            positions.append(record["queue_position"])
            if positions == [2]:
                api.begin(first)
            elif positions[-1] == 1:
                assert name is None  # not a change of the session, so it is not replayed
                break
    assert positions[-1] == 1


def test_silent_stream_is_kept_alive(
    api: RunningApi, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "_PING_INTERVAL", 0.2)
    session_id = api.accepted(client)
    api.begin(session_id)
    with client.stream("GET", f"/api/vip/events/{session_id}") as answer:
        assert (None, None) in (event for event in read(answer.iter_lines()))


def test_many_subscribers_leave_threads_for_others(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    listeners = THREADS + 16

    async def listen(own: httpx.AsyncClient) -> str:
        async with own.stream("GET", f"/api/vip/events/{session_id}") as answer:
            lines = [line async for line in answer.aiter_lines() if line.startswith("data: ")]
        state: str = json.loads(lines[-1][6:])["status"]
        return state

    async def listen_all() -> list[str]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=api.url, timeout=20, limits=limits) as own:
            coming = asyncio.gather(*(listen(own) for _ in range(listeners)))
            while api.services.queue.info("clients")["blocked_clients"] < listeners:
                await asyncio.sleep(0.05)
            assert (await own.get(f"/api/vip/status/{session_id}")).status_code == 200
            api.make(session_id)
            return await coming

    assert asyncio.run(listen_all()) == ["ready"] * listeners


def test_events_of_an_unknown_session(api: RunningApi, client: httpx.Client) -> None:
    answer = client.get("/api/vip/events/00000000-0000-4000-8000-000000000000")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
