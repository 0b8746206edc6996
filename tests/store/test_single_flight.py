"""Equal work at the same time is done once, whoever wants it, and nobody waits for the dead."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.servers import StoreServer

from sadtalker_service.errors import Cancelled
from sadtalker_service.store.connections import connect
from sadtalker_service.store.redis_single_flight import RedisSingleFlight
from sadtalker_service.store.single_flight import NoSingleFlight

KEY = "face_mesh:" + "ab" * 32 + ":full:mesh:1"

PROCESS = """
import sys, time
from sadtalker_service.store.connections import connect
from sadtalker_service.store.redis_single_flight import RedisSingleFlight
client = connect(sys.argv[1])
single_flight = RedisSingleFlight(client, lease_seconds=1.0)
print("waiting", flush=True)
sys.stdin.readline()
while not client.exists("made"):
    with single_flight.acquire(sys.argv[2]) as ours:
        if ours and not client.exists("made"):
            client.incr("times")
            time.sleep(float(sys.argv[3]))
            client.set("made", 1)
print("done", flush=True)
"""


def process(server: StoreServer, seconds: float, *, begin: bool = True) -> subprocess.Popen[str]:
    """A process that wants what `KEY` stands for, and needs `seconds` to make it."""
    command = [sys.executable, "-c", textwrap.dedent(PROCESS), server.url, KEY, str(seconds)]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "waiting\n"
    if begin:
        release(running)
    return running


def release(running: subprocess.Popen[str]) -> None:
    running.stdin.write("\n")
    running.stdin.flush()


def wait_until(true, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def test_processes_that_want_the_same_do_it_once(cache_server: StoreServer) -> None:
    wanting = [process(cache_server, 0.3, begin=False) for _ in range(4)]
    for running in wanting:
        release(running)
    assert [running.communicate(timeout=30)[0] for running in wanting] == ["done\n"] * 4
    assert cache_server.client().get("times") == b"1"


def test_work_longer_than_the_lease_stays_with_the_one_who_does_it(cache_server: StoreServer) -> None:
    wanting = [process(cache_server, 2.5) for _ in range(2)]
    for running in wanting:
        running.communicate(timeout=30)
    assert cache_server.client().get("times") == b"1"


def test_another_takes_over_from_one_who_died(cache_server: StoreServer) -> None:
    client = cache_server.client()
    dying = process(cache_server, 60)
    wait_until(lambda: client.get("times") == b"1")
    successor = process(cache_server, 0.1)
    dying.kill()
    dying.communicate(timeout=10)
    assert successor.communicate(timeout=10)[0] == "done\n", "later than its lease of a second"
    assert client.get("times") == b"2"


def test_those_who_waited_look_again_and_do_not_lead(cache_server: StoreServer) -> None:
    single_flight = RedisSingleFlight(cache_server.client())
    began, go_on = threading.Event(), threading.Event()
    roles: list[bool] = []

    def lead() -> None:
        with single_flight.acquire(KEY) as ours:
            roles.append(ours)
            began.set()
            go_on.wait(10)

    def follow() -> None:
        with single_flight.acquire(KEY) as ours:
            roles.append(ours)

    with ThreadPoolExecutor(4) as pool:
        leader = pool.submit(lead)
        assert began.wait(10)
        waiters = [pool.submit(follow) for _ in range(3)]
        time.sleep(0.2)
        assert roles == [True], "the others wait"
        go_on.set()
        for future in (leader, *waiters):
            future.result(10)
    assert roles == [True, False, False, False]


def test_other_work_does_not_wait(cache_server: StoreServer) -> None:
    single_flight = RedisSingleFlight(cache_server.client())
    with single_flight.acquire(KEY) as first, single_flight.acquire(KEY.replace("full", "crop")) as second:
        assert (first, second) == (True, True)


def test_work_that_failed_is_free_for_the_next(cache_server: StoreServer) -> None:
    single_flight = RedisSingleFlight(cache_server.client())
    with pytest.raises(ArithmeticError), single_flight.acquire(KEY):
        raise ArithmeticError
    with single_flight.acquire(KEY) as ours:
        assert ours


def test_a_wait_can_be_cancelled(cache_server: StoreServer) -> None:
    single_flight = RedisSingleFlight(cache_server.client())
    asked = 0

    def cancel() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise Cancelled("stopped on request")

    with single_flight.acquire(KEY), pytest.raises(Cancelled), single_flight.acquire(KEY, cancel):
        raise AssertionError("it was told to stop")
    assert asked == 3


def test_who_was_taken_for_dead_does_not_end_the_flight_of_the_next(cache_server: StoreServer) -> None:
    client = cache_server.client()
    single_flight = RedisSingleFlight(client)
    first = single_flight.acquire(KEY)
    assert first.__enter__()
    client.flushall()
    with single_flight.acquire(KEY):
        token = client.get("flight:" + KEY)
        first.__exit__(None, None, None)
        assert client.get("flight:" + KEY) == token
    assert client.get("flight:" + KEY) is None


def test_without_a_server_everybody_computes(cache_server: StoreServer) -> None:
    single_flight = RedisSingleFlight(connect(cache_server.url, retries=False))
    with single_flight.acquire(KEY):
        cache_server.kill()
        with single_flight.acquire(KEY) as ours:
            assert ours
    cache_server.start()
    with single_flight.acquire(KEY) as ours:
        assert ours


def test_one_who_waits_computes_when_the_server_goes(cache_server: StoreServer) -> None:
    single_flight = RedisSingleFlight(connect(cache_server.url, retries=False))
    waits = threading.Event()
    with ThreadPoolExecutor(1) as pool, single_flight.acquire(KEY):

        def follow() -> bool:
            with single_flight.acquire(KEY, waits.set) as ours:
                return ours

        following = pool.submit(follow)
        assert waits.wait(10)
        cache_server.kill()
        assert following.result(30)


def test_no_flights_hold_nobody_up() -> None:
    single_flight = NoSingleFlight()
    with single_flight.acquire(KEY) as first, single_flight.acquire(KEY) as second:
        assert first
        assert second
