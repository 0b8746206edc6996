"""Fixtures for tests of records and jobs: stores on a real server, and a fixed clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis
from tests.support.jobs import Clock, add_avatar
from tests.support.queue_keys import strange_keys
from tests.support.servers import StoreServer

from sadtalker_service.settings import Settings
from sadtalker_service.state.sessions import SessionStore


@pytest.fixture
def clock() -> Clock:
    """A clock that the test advances."""
    return Clock()


@pytest.fixture
def queue(queue_server: StoreServer) -> Iterator[redis.Redis]:
    """A client of an empty queue server. Remaining keys must be documented in docs/queue-keys.md."""
    client = queue_server.client()
    yield client
    with suppress(redis.ConnectionError):  # the test has stopped the server
        assert strange_keys(client) == []


@pytest.fixture
def sessions(queue: redis.Redis, clock: Clock) -> SessionStore:
    """Sessions of one known avatar, with small lanes."""
    add_avatar(queue)
    return SessionStore(queue, Settings(max_waiting=3, lease_seconds=15, max_attempts=3), clock)
