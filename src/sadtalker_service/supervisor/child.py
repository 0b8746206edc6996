"""One child process of the supervisor: started, watched, started again, ended with all that it started."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0
_LONG_ENOUGH = 60.0
"""Whoever lived for so many seconds is started again at once: its next death is no part of a series."""


@dataclass(frozen=True)
class ChildSpec:
    """What to start, and how it is known to be ready and to be ended."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    """The whole environment."""
    ready: Callable[[], bool] | None = None
    """Asked several times a second until it says yes; None: ready at once. Raises nothing."""
    prepare: Callable[[], None] | None = None
    """Called before every start. Raises `StartFailed`."""
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    """Seconds from the stop signal to `kill -9`."""
    nice: int = 0
    """0..19: steps below the supervisor's own priority; others go first when the processors are busy."""
    pass_fds: tuple[int, ...] = ()
    """Open files that it is given, under the same numbers."""
    log_file: Path | None = None
    """Where it says why it ended, if not on the standard error."""


class Child:
    """The process of a specification, over all its lives."""

    def __init__(self, spec: ChildSpec, clock: Callable[[], float]) -> None:
        """`clock` tells seconds."""
        self.spec = spec
        self.ready = False
        self.was_ready = False
        """Ever, in any of its lives."""
        self.failed_starts = 0
        """Lives that ended before the first time that it was ready."""
        self.due = 0.0
        """When it is to be started."""
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._pause = _FIRST_PAUSE

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process. Raises `StartFailed`, `OSError`."""
        spec = self.spec
        if spec.prepare:
            spec.prepare()
        self._process = subprocess.Popen(  # noqa: S603 - the service's own programs
            spec.argv,
            env=dict(spec.env),
            stdin=subprocess.DEVNULL,
            pass_fds=spec.pass_fds,
            # Ctrl-C in a terminal reaches the supervisor alone, and all that a child starts ends with it
            start_new_session=True,
            # safe: the supervisor has one thread
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509
        )
        self._started = self._clock()
        if spec.nice:
            _lower_priority(self._process.pid, spec.nice)

    def check_ready(self) -> bool:
        """Whether it became ready since the last call."""
        if self.ready or not (self.spec.ready is None or self.spec.ready()):
            return False
        self.ready = self.was_ready = True
        return True

    def ended(self) -> int | None:
        """The exit code of a process that has ended since the last call, negative for a signal.

        What it had started is killed too: an orphan would work on without anybody who knows of it.
        """
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._kill_group(self._process.pid)
        self._process = None
        self.failed_starts += not self.was_ready
        self.ready = False
        if self._clock() - self._started >= _LONG_ENOUGH:
            self._pause = _FIRST_PAUSE
        self.postpone()
        return code

    def postpone(self) -> None:
        """Try again after a pause, a longer one each time."""
        self.due = self._clock() + self._pause
        self._pause = min(_LONGEST_PAUSE, 2 * self._pause)

    def ask_to_stop(self) -> None:
        """Send its stop signal."""
        if self._process:
            self._process.send_signal(self.spec.stop_signal)

    def kill(self) -> None:
        """`kill -9`, its own children too."""
        if self._process:
            self._kill_group(self._process.pid)

    @staticmethod
    def _kill_group(pid: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # nobody left; macOS says it the other way
            os.killpg(pid, signal.SIGKILL)


def die_with_parent(parent: int) -> None:
    """Have the system kill this process when `parent`, the process that started it, dies in whatever way.

    Linux only; elsewhere a child may outlive a supervisor that was killed with -9.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it died before
            os.kill(os.getpid(), signal.SIGKILL)


def _lower_priority(pid: int, nice: int) -> None:
    """Let others go first: `nice` steps below the supervisor, which may run at a lower priority itself.

    The system stops at 19. With a session of its own a process may be in a scheduling group of its own, whose
    rank counts instead: that of a new group is 0, whatever the supervisor's is.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + nice)
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
