"""Signals as something to wait for: a child that ended, somebody who wants the service to stop."""

from __future__ import annotations

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Any, Self

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Wakeups:
    """A block in which signals end a pause instead of the process. For the main thread."""

    def __init__(self) -> None:
        self.stops = 0
        """How often the process was asked to stop."""
        self._reader, self._writer = socket.socketpair()
        self._previous: dict[signal.Signals, Any] = {}
        self._previous_fd = -1

    def __enter__(self) -> Self:
        """Take the signals over."""
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            # nohup starts its program with SIGHUP ignored: that is a wish
            if signal.getsignal(number) is not signal.SIG_IGN or number is not signal.SIGHUP:
                self._previous[number] = signal.signal(number, self._stop)
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._wake)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        signal.set_wakeup_fd(self._previous_fd)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def wait(self, seconds: float | None) -> None:
        """Return after `seconds`, or as soon as a signal has come; None waits for that alone."""
        if select.select([self._reader], [], [], seconds)[0]:
            self._reader.recv(4096)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stops += 1

    def _wake(self, _number: int, _frame: FrameType | None) -> None:
        """The file of `set_wakeup_fd` has been written to: that is all."""
