"""What a worker writes arrives at those who watch: whole, in order, or with an error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from tests.support.servers import StoreServer

from sadtalker_service.store.connections import connect, connect_async
from sadtalker_service.store.media_stream import (
    KEPT_SECONDS,
    MediaStream,
    StreamBroken,
    read_media,
    stream_key,
)

IMAGE = "a" * 64
PIECES = [b"init", *(bytes([n]) * 30_000 for n in range(40))]


async def always() -> bool:
    return True


async def never() -> bool:
    return False


def read(
    server: StoreServer,
    attempt: int = 1,
    is_coming: Callable[[], Awaitable[bool]] = never,
    got: list[bytes] | None = None,
    beside: Callable[[int], None] | None = None,
) -> list[bytes]:
    """What a reader gets; `beside` is called after each piece, with the number of pieces so far."""
    found = [] if got is None else got

    async def run() -> None:
        client = connect_async(server.url, retries=False)
        try:
            async for piece in read_media(client, "s1", attempt, is_coming=is_coming):
                found.append(piece)
                if beside:
                    await asyncio.to_thread(beside, len(found))
        finally:
            await client.aclose()

    asyncio.run(run())
    return found


def test_a_late_reader_gets_all_of_it(cache_server: StoreServer) -> None:
    with MediaStream(cache_server.client(), "s1", 1, IMAGE) as stream:
        for piece in PIECES:
            assert stream.write(piece) == len(piece)
    assert read(cache_server) == PIECES
    assert read(cache_server) == PIECES, "again, for another reader"


def test_a_reader_follows_while_it_is_written(cache_server: StoreServer) -> None:
    stream = MediaStream(cache_server.client(), "s1", 1, IMAGE)
    stream.write(PIECES[0])

    def write_on(count: int) -> None:
        if count < len(PIECES):
            stream.write(PIECES[count])
        else:
            stream.__exit__(None, None, None)

    assert read(cache_server, beside=write_on) == PIECES


def test_a_reader_may_come_before_the_writer(cache_server: StoreServer) -> None:
    async def begins_late() -> bool:
        with MediaStream(cache_server.client(), "s1", 1, IMAGE) as stream:
            stream.write(b"init")
        return True

    assert read(cache_server, is_coming=begins_late) == [b"init"]


def test_attempts_and_sessions_do_not_mix(cache_server: StoreServer) -> None:
    client = cache_server.client()
    with MediaStream(client, "s1", 1, IMAGE) as first, MediaStream(client, "s1", 2, IMAGE) as second:
        first.write(b"first")
        second.write(b"second")
    with MediaStream(client, "s2", 1, IMAGE) as other:
        other.write(b"other")
    assert (read(cache_server, 1), read(cache_server, 2)) == ([b"first"], [b"second"])


def test_a_failed_attempt_is_told_from_a_whole_one(cache_server: StoreServer) -> None:
    got: list[bytes] = []
    stream = MediaStream(cache_server.client(), "s1", 1, IMAGE)
    with suppress(ArithmeticError), stream:
        stream.write(b"init")
        raise ArithmeticError
    with pytest.raises(StreamBroken, match="ended early"):
        read(cache_server, got=got)
    assert got == [b"init"]


def test_a_reader_does_not_wait_for_a_dead_worker(cache_server: StoreServer) -> None:
    stream = MediaStream(cache_server.client(), "s1", 1, IMAGE)
    stream.write(b"init")
    got: list[bytes] = []
    with pytest.raises(StreamBroken, match="no longer being rendered"):
        read(cache_server, got=got)
    assert got == [b"init"]


def test_a_stream_that_was_evicted_does_not_begin_in_its_middle(cache_server: StoreServer) -> None:
    client = cache_server.client()
    stream = MediaStream(client, "s1", 1, IMAGE)
    stream.write(b"init")
    client.flushall()
    for _ in range(2):
        with pytest.raises(StreamBroken, match="evicted"):
            stream.write(b"fragment")
    assert client.keys() == []


def test_a_reader_notices_a_missing_part(cache_server: StoreServer) -> None:
    client = cache_server.client()
    with MediaStream(client, "s1", 1, IMAGE) as stream:
        for piece in PIECES[:5]:
            stream.write(piece)
    client.xdel(stream_key("s1", 1), "3-0")
    got: list[bytes] = []
    with pytest.raises(StreamBroken, match="missing"):
        read(cache_server, got=got)
    assert got == PIECES[:2]


def test_a_server_that_is_away_is_said_to_both_sides(cache_server: StoreServer) -> None:
    stream = MediaStream(connect(cache_server.url, retries=False), "s1", 1, IMAGE)
    stream.write(b"init")
    cache_server.kill()
    with stream, pytest.raises(StreamBroken):
        stream.write(b"fragment")
    with pytest.raises(StreamBroken):
        read(cache_server, is_coming=always)


def test_streams_do_not_stay(cache_server: StoreServer) -> None:
    client = cache_server.client()
    with MediaStream(client, "s1", 1, IMAGE) as stream:
        stream.write(b"init")
        assert 0 < client.ttl(stream_key("s1", 1)) <= KEPT_SECONDS
    assert 0 < client.ttl(stream_key("s1", 1)) <= KEPT_SECONDS
