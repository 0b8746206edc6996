"""Wait for signals: a child that ended, or a request to stop the service."""

from __future__ import annotations

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Any, Self

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Wakeups:
    """Context manager in which signals end a pause instead of the process. For the main thread."""

    def __init__(self) -> None:
        self.stops = 0
        """Number of stop signals received."""
        self._reader, self._writer = socket.socketpair()
        self._previous: dict[signal.Signals, Any] = {}
        self._previous_fd = -1

    def __enter__(self) -> Self:
        """Install the signal handlers."""
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            # nohup starts its program with SIGHUP ignored, and that must stay so
            if signal.getsignal(number) is not signal.SIG_IGN or number is not signal.SIGHUP:
                self._previous[number] = signal.signal(number, self._stop)
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._wake)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the previous handlers."""
        signal.set_wakeup_fd(self._previous_fd)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def wait(self, seconds: float | None) -> None:
        """Return after `seconds` or at the next signal. None waits only for a signal."""
        if select.select([self._reader], [], [], seconds)[0]:
            self._reader.recv(4096)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stops += 1

    def _wake(self, _number: int, _frame: FrameType | None) -> None:
        """Do nothing. The write to the file of `set_wakeup_fd` is enough."""
