"""One child process of the supervisor: start, watch, restart, and end it with all its own children."""

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
"""A process that ran for this many seconds restarts at once. Its next exit does not count as part of a
series."""


@dataclass(frozen=True)
class ChildSpec:
    """How to start a process, how to see that it is ready, and how to end it."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    """The whole environment."""
    ready: Callable[[], bool] | None = None
    """Polled several times a second until it returns true. None means ready at once. Raises nothing."""
    prepare: Callable[[], None] | None = None
    """Called before every start. Raises `StartFailed`."""
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    """Seconds from the stop signal to `kill -9`."""
    nice: int = 0
    """0..19: steps below the supervisor's own priority, so that others go first when the processors are
    busy."""
    pass_fds: tuple[int, ...] = ()
    """Open file descriptors passed to it, under the same numbers."""
    log_file: Path | None = None
    """File with the reason for its exit, if that is not on standard error."""


class Child:
    """The process of a specification, across restarts."""

    def __init__(self, spec: ChildSpec, clock: Callable[[], float]) -> None:
        """`clock` returns seconds."""
        self.spec = spec
        self.ready = False
        self.was_ready = False
        """Whether any of its processes was ever ready."""
        self.failed_starts = 0
        """Number of exits before it was first ready."""
        self.due = 0.0
        """Time of the next start."""
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._pause = _FIRST_PAUSE

    @property
    def pid(self) -> int | None:
        """Process id while the process exists."""
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
            # Ctrl-C in a terminal must reach only the supervisor, and a child's own processes must end with
            # it
            start_new_session=True,
            # safe because the supervisor has one thread
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509
        )
        self._started = self._clock()
        if spec.nice:
            _lower_priority(self._process.pid, spec.nice)

    def check_ready(self) -> bool:
        """Whether it has become ready since the last call."""
        if self.ready or not (self.spec.ready is None or self.spec.ready()):
            return False
        self.ready = self.was_ready = True
        return True

    def ended(self) -> int | None:
        """The exit code if the process has ended since the last call. Negative for a signal.

        Its own children are killed too, because an orphan would work on unsupervised.
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
        """Try again after a pause that grows each time."""
        self.due = self._clock() + self._pause
        self._pause = min(_LONGEST_PAUSE, 2 * self._pause)

    def ask_to_stop(self) -> None:
        """Send the stop signal."""
        if self._process:
            self._process.send_signal(self.spec.stop_signal)

    def kill(self) -> None:
        """`kill -9`, including its own children."""
        if self._process:
            self._kill_group(self._process.pid)

    @staticmethod
    def _kill_group(pid: int) -> None:
        # no process left; macOS reports this with PermissionError
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def die_with_parent(parent: int) -> None:
    """Have the system kill this process when `parent`, the process that started it, dies for any reason.

    Linux only. On other systems a child may outlive a supervisor that was killed with -9.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # the parent died earlier
            os.kill(os.getpid(), signal.SIGKILL)


def _lower_priority(pid: int, nice: int) -> None:
    """Set the priority `nice` steps below that of the supervisor, which may itself be lowered.

    The system stops at 19. A process with its own session may be in its own scheduling group, whose priority
    counts instead. A new group starts at 0, whatever the supervisor's priority.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + nice)
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
