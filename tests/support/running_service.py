"""The real service in its own processes: `sadtalker serve`, started as a user would start it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

SUPPORT = Path(__file__).parent

PATTERN_ENGINE = {"ENGINE": "pattern", "PYTHONPATH": str(SUPPORT)}
"""Environment for the engine in `pattern_engine.py`, which is warm at once."""

Role = Literal["api", "render", "prepare", "live", "queue", "cache"]

_SIGNS: Mapping[Role, str] = {
    "api": "sadtalker_service.api",
    "render": "render-",
    "prepare": "prepare-",
    "live": "service live",
    "queue": "queue.sock",
    "cache": "cache.sock",
}
"""Text in the command line of a process with that role."""


class RunningService:
    """`sadtalker serve` on a free port. As a context manager, it is ready inside and stopped after it."""

    def __init__(
        self,
        data_dir: Path,
        env: Mapping[str, str] | None = None,
        *,
        workers: int = 1,
        arguments: Sequence[str] = (),
    ) -> None:
        """Start it. `data_dir` should have a short path, for the sockets in it."""
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        self._log = data_dir / "service.log"
        options = ["--port", "0", "--workers", str(workers), "--data_dir", str(data_dir), *arguments]
        with self._log.open("ab") as log:
            self._begin = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sadtalker_service", "serve", *options],
                # a process for live sessions only where a test asks for one: it takes seconds to start
                env={**os.environ, "LOG_FORMAT": "json", "LIVE_SLOTS": "0", **(env or {})},
                cwd=data_dir,  # without the developer's .env
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        try:
            self.wait_ready()
        except BaseException:
            self.stop(signal.SIGKILL)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """The output of this run so far, including that of its children."""
        return self._log.read_bytes()[self._begin :].decode(errors="replace")

    @property
    def url(self) -> str:
        """`http://127.0.0.1:12345`, once the API answers."""
        return self._said(r"^Listening on (\S+);")

    def wait_ready(self, seconds: float = 180) -> None:
        """Wait until videos can be rendered."""
        self._said(r"^(Ready): ", seconds)

    def pids(self, role: Role) -> list[int]:
        """Live processes that the supervisor has started for this role."""
        sign = _SIGNS[role]
        return [pid for pid in children(self.process.pid) if sign in command_line(pid)]

    def pid(self, role: Role, other_than: int | None = None, seconds: float = 90) -> int:
        """The only process of this role. Waits for one that is not `other_than`."""
        found: list[int] = []

        def there() -> bool:
            found[:] = [pid for pid in self.pids(role) if pid != other_than]
            return bool(found)

        until(there, f"a process for {role}", seconds)
        return found[0]

    def all_processes(self) -> list[int]:
        """The supervisor and all its descendants."""
        pids = [self.process.pid]
        for pid in pids:
            pids.extend(children(pid))
        return [pid for pid in pids if is_alive(pid)]

    def kill(self, role: Role) -> int:
        """`kill -9` the process of this role and return its pid."""
        pid = self.pid(role)
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 90) -> int:
        """Stop the service and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"it does not stop:\n{self.log[-4000:]}") from None

    def _said(self, pattern: str, seconds: float = 120) -> str:
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.log, re.MULTILINE)):
            assert self.process.poll() is None, f"it ended:\n{self.log[-4000:]}"
            assert time.monotonic() < end, f"{pattern} is not in the log:\n{self.log[-4000:]}"
            time.sleep(0.05)
        return found[1]


def until(condition: Callable[[], bool], what: str = "it", seconds: float = 90) -> None:
    """Wait for `condition`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.02)


def children(parent: int) -> list[int]:
    """Living processes whose parent is `parent`."""
    pids = (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())
    return sorted(pid for pid in pids if _facts(pid) == ("alive", parent))


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    facts = _facts(pid)
    return facts is not None and facts[0] == "alive"


def command_line(pid: int) -> str:
    """Its command line, separated by spaces. Empty if the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _facts(pid: int) -> tuple[str, int] | None:
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return ("dead" if state in {"Z", "X"} else "alive", int(parent))
