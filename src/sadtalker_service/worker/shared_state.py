"""Shared memory of a worker's two processes."""

from __future__ import annotations

from multiprocessing.sharedctypes import RawValue


class SharedState:
    """Created by the parent before it forks. Single numbers without locks, since a signal handler writes too.

    Times come from `time.monotonic`, which is the same clock for all processes of a machine.
    """

    def __init__(self) -> None:
        self._stop_at = RawValue("d", 0.0)
        self._attempt = RawValue("i", 0)
        self._broken = RawValue("b", 0)
        self._set_ups = RawValue("i", 0)

    def stop_at(self, moment: float) -> None:
        """Called by the parent: the running job must be finished or handed back by `moment`."""
        self._stop_at.value = moment

    @property
    def stopping(self) -> bool:
        """Whether the worker is being shut down."""
        return bool(self._stop_at.value)

    def must_stop(self, now: float) -> bool:
        """Return whether the grace period of the running job is over."""
        return bool(0.0 < self._stop_at.value <= now)

    @property
    def attempt(self) -> int:
        """Number of the child's current attempt at the session of its message; 0 before it has started."""
        return int(self._attempt.value)

    @attempt.setter
    def attempt(self, number: int) -> None:
        self._attempt.value = number

    @property
    def broken(self) -> bool:
        """Whether the child could not load its engine."""
        return bool(self._broken.value)

    def break_down(self) -> None:
        """Called by the child: it has no engine."""
        self._broken.value = 1

    def begin_set_up(self) -> int:
        """Called by the child at the start of its set-up. Returns how many earlier set-ups did not finish."""
        self._set_ups.value += 1
        return int(self._set_ups.value) - 1

    def end_set_up(self) -> None:
        """Called by the child when it is ready for work."""
        self._set_ups.value = 0
