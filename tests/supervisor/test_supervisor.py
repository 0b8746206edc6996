"""Children that start in order, die, come back and are stopped: real processes, really killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "supervised.py"

SLEEP = "ready()\nwhile True: time.sleep(60)"
"""A well-behaved child: ready, and gone when asked."""

Run = Callable[..., "Supervised"]


class Supervised:
    """A supervisor in a process of its own."""

    def __init__(self, folder: Path, *stages: list[dict[str, Any]], nice: int = 0) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), json.dumps(stages), str(nice)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def pid(self, name: str) -> int:
        """Of a ready child."""
        path = self.folder / f"{name}.ready"
        until(path.exists)
        return int(path.read_text())

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(90)


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    started: list[Supervised] = []

    def start(*stages: list[dict[str, Any]], nice: int = 0) -> Supervised:
        started.append(Supervised(tmp_path, *stages, nice=nice))
        return started[-1]

    yield start
    for supervised in started:
        if supervised.process.poll() is None:
            supervised.stop()
        supervised.process.communicate(timeout=90)


def test_stages_start_in_order_and_stop_in_reverse(run: Run) -> None:
    slow = "time.sleep(0.3)\n" + SLEEP
    supervised = run([{"name": "store", "code": slow}], [{"name": "api", "code": SLEEP}])
    supervised.pid("api")
    assert supervised.lines("starts") == ["store", "api"]
    ready = [(supervised.folder / f"{name}.ready").stat().st_mtime for name in ("store", "api")]
    assert ready[1] - ready[0] > 0
    assert supervised.stop() == 0
    assert supervised.lines("order") == ["api", "store"]


def test_children_of_a_stage_start_together(run: Run) -> None:
    """Each waits for the other before it gets ready."""
    meet = "while not (folder / '{}.here').exists(): time.sleep(0.02)\n"
    supervised = run(
        [
            {"name": "a", "code": "(folder / 'a.here').touch()\n" + meet.format("b") + SLEEP},
            {"name": "b", "code": "(folder / 'b.here').touch()\n" + meet.format("a") + SLEEP},
        ]
    )
    assert lives(supervised.pid("a"))
    assert lives(supervised.pid("b"))


@pytest.mark.parametrize("nice", [0, 4, 15])
def test_priority_of_a_child_is_below_that_of_the_supervisor(run: Run, nice: int) -> None:
    """Whatever the supervisor's own is; the system has none below 19."""
    supervised = run(
        [{"name": "api", "code": SLEEP}, {"name": "worker", "code": SLEEP, "nice": 10}], nice=nice
    )
    pids = {name: supervised.pid(name) for name in ("api", "worker")}
    api, worker = (os.getpriority(os.PRIO_PROCESS, pid) for pid in pids.values())
    own = os.getpriority(os.PRIO_PROCESS, supervised.process.pid)
    assert api == own
    assert worker == min(19, own + 10)
    assert own == min(19, os.getpriority(os.PRIO_PROCESS, 0) + nice)


@pytest.mark.parametrize("name", ["store", "api"])
def test_killed_child_comes_back_and_the_others_stay(run: Run, name: str) -> None:
    supervised = run([{"name": "store", "code": SLEEP}], [{"name": "api", "code": SLEEP}])
    pids = {child: supervised.pid(child) for child in ("api", "store")}
    os.kill(pids[name], signal.SIGKILL)
    until(lambda: not lives(pids[name]))
    until(lambda: supervised.lines("starts").count(name) == 2)
    until(lambda: supervised.pid(name) != pids[name])
    (other,) = pids.keys() - {name}
    assert supervised.pid(other) == pids[other]
    assert lives(pids[other])
    assert supervised.stop() == 0
    assert sorted(supervised.lines("order")) == ["api", "store"]


def test_what_a_dead_child_had_started_dies_before_it_is_started_again(run: Run) -> None:
    code = "child = subprocess.Popen(['sleep', '600'])\n(folder / f'{child.pid}.started').touch()\n" + SLEEP
    supervised = run([{"name": "worker", "code": code}])
    first = supervised.pid("worker")
    (grandchild,) = (int(path.stem) for path in supervised.folder.glob("*.started"))
    assert lives(grandchild)
    os.kill(first, signal.SIGKILL)
    until(lambda: not lives(grandchild))
    until(lambda: len(supervised.lines("starts")) == 2)


def test_child_that_dies_again_and_again_is_started_less_and_less_often(run: Run) -> None:
    """It was ready once, so nobody gives up: pauses of 0.2, 0.4, 0.8, 1.6 s."""
    supervised = run([{"name": "api", "code": "ready()\ntime.sleep(0.2)\nsys.exit(1)"}])
    began = time.monotonic()
    until(lambda: len(supervised.lines("starts")) == 5)
    assert time.monotonic() - began > 0.2 + 0.4 + 0.8 + 1.6
    assert supervised.process.poll() is None


def test_child_that_never_gets_ready_ends_the_start(run: Run) -> None:
    supervised = run([{"name": "store", "code": SLEEP}], [{"name": "api", "code": "sys.exit(1)"}])
    store = supervised.pid("store")
    _, said = supervised.process.communicate(timeout=90)
    assert supervised.process.returncode == 3
    assert "The service does not start: api ended with code 1." in said
    assert supervised.lines("starts").count("api") == 5
    assert supervised.lines("order") == ["store"]
    assert not lives(store)


def test_child_that_says_why_it_cannot_start_is_not_asked_again(run: Run) -> None:
    supervised = run([{"name": "worker", "code": "sys.exit(3)"}])
    assert supervised.process.wait(90) == 3
    assert supervised.lines("starts") == ["worker"]


def test_interrupt_stops_everything_well(run: Run) -> None:
    supervised = run([{"name": "store", "code": SLEEP}], [{"name": "api", "code": SLEEP}])
    supervised.pid("api")
    assert supervised.stop(signal.SIGINT) == 0
    assert supervised.lines("order") == ["api", "store"]


def test_interrupt_of_the_terminal_reaches_the_supervisor_alone(run: Run) -> None:
    """Ctrl-C is sent to the whole group of the foreground: children in it would die in any order."""
    supervised = run([{"name": "store", "code": SLEEP}], [{"name": "api", "code": SLEEP}])
    supervised.pid("api")
    os.killpg(supervised.process.pid, signal.SIGINT)
    assert supervised.process.wait(90) == 0
    assert supervised.lines("order") == ["api", "store"]


def test_stop_while_starting(run: Run) -> None:
    supervised = run([{"name": "store", "code": SLEEP}], [{"name": "api", "code": "time.sleep(600)"}])
    until(lambda: "api" in supervised.lines("starts"))
    assert supervised.stop() == 0
    assert supervised.lines("order") == ["api", "store"]


def test_child_that_does_not_stop_is_killed_after_its_grace(run: Run) -> None:
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP
    supervised = run([{"name": "store", "code": SLEEP}], [{"name": "worker", "code": deaf, "grace": 0.5}])
    pid = supervised.pid("worker")
    assert supervised.stop() == 0
    assert not lives(pid)
    assert supervised.lines("order") == ["store"]


def test_second_signal_ends_the_waiting_and_still_stops_the_stores_well(run: Run) -> None:
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP
    supervised = run([{"name": "store", "code": SLEEP}], [{"name": "worker", "code": deaf, "grace": 600}])
    pid = supervised.pid("worker")
    supervised.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        supervised.process.wait(0.5)
    assert lives(pid)
    assert supervised.stop() == 0
    assert not lives(pid)
    assert supervised.lines("order") == ["store"]


def test_store_that_dies_while_others_finish_comes_back(run: Run) -> None:
    finishing = "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(3), leave()))\n" + SLEEP
    supervised = run([{"name": "store", "code": SLEEP}], [{"name": "worker", "code": finishing, "grace": 30}])
    supervised.pid("worker")
    store = supervised.pid("store")
    supervised.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    os.kill(store, signal.SIGKILL)
    assert supervised.process.wait(90) == 0
    assert supervised.lines("starts") == ["store", "worker", "store"]
    assert supervised.lines("order") == ["worker", "store"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_children_do_not_outlive_a_killed_supervisor(run: Run) -> None:
    supervised = run([{"name": "store", "code": SLEEP}], [{"name": "api", "code": SLEEP}])
    pids = [supervised.pid("store"), supervised.pid("api")]
    supervised.stop(signal.SIGKILL)
    until(lambda: not any(map(lives, pids)))
