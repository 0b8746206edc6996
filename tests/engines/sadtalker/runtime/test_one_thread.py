"""Work for a GPU that keeps its plans by thread runs in one thread, whoever asks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sadtalker_service.engines.sadtalker.runtime.one_thread import (  # noqa: E402
    DrawerInThread,
    NetworksInThread,
    OneThread,
)


class Noting:
    """Networks and drawer that answer with what they get, and note the thread."""

    overlaps = True

    def __init__(self) -> None:
        self.threads: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        def answer(*arguments: Any, **options: Any) -> Any:
            self.threads.add(threading.current_thread().name)
            return name, arguments, options

        return answer


def test_every_call_is_passed_on_and_runs_in_the_thread() -> None:
    noting: Any = Noting()
    thread = OneThread("gpu")
    networks, drawer = NetworksInThread(noting, thread), DrawerInThread(noting, thread)
    a, b, c = (np.full(1, k, np.float32) for k in range(3))

    def ask(_: int) -> None:
        found: Any = networks.regress(a)
        assert found == ("regress", (a,), {})
        found = networks.encode(a, b, full_frame=True)
        assert found == ("encode", (a, b), {"full_frame": True})
        found = networks.expression(a, b, c)
        assert found == ("expression", (a, b, c), {})
        found = networks.pose(a, b, style=1, seed=2, chunk=8)
        assert found == ("pose", (a, b), {"style": 1, "seed": 2, "chunk": 8})
        found = networks.keypoints(a, b, {"yaw": c}, full_frame=False)
        assert found == ("keypoints", (a, b, {"yaw": c}), {"full_frame": False})
        found = drawer.begin([])
        assert found == ("begin", ([],), {})

    with ThreadPoolExecutor(4) as users:
        list(users.map(ask, range(8)))
    assert len(noting.threads) == 1
    assert drawer.overlaps


def test_an_error_reaches_who_asked_and_the_thread_goes_on() -> None:
    thread = OneThread("gpu")

    def fail() -> None:
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        thread.run(fail)
    assert thread.run(lambda: 7) == 7
