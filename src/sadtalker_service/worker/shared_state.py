"""What the two processes of a worker tell each other, in memory that both see."""

from __future__ import annotations

from multiprocessing.sharedctypes import RawValue


class SharedState:
    """Made by the parent before it forks. Single numbers without locks: a signal handler, too, writes here.

    Times are those of `time.monotonic`, which is one clock for all processes of a machine.
    """

    def __init__(self) -> None:
        self._stop_at = RawValue("d", 0.0)
        self._attempt = RawValue("i", 0)
        self._broken = RawValue("b", 0)
        self._set_ups = RawValue("i", 0)

    def stop_at(self, moment: float) -> None:
        """The parent: the running job must be finished or handed back at `moment`."""
        self._stop_at.value = moment

    @property
    def stopping(self) -> bool:
        """Whether the worker is being shut down."""
        return bool(self._stop_at.value)

    def must_stop(self, now: float) -> bool:
        """Whether the running job has used up its grace."""
        return bool(0.0 < self._stop_at.value <= now)

    @property
    def attempt(self) -> int:
        """Number of the attempt that the child makes at the session of its message; 0 before it has begun."""
        return int(self._attempt.value)

    @attempt.setter
    def attempt(self, number: int) -> None:
        self._attempt.value = number

    @property
    def broken(self) -> bool:
        """Whether the child could not load its engine."""
        return bool(self._broken.value)

    def break_down(self) -> None:
        """The child: there is no engine to work with."""
        self._broken.value = 1

    def begin_set_up(self) -> int:
        """The child: its set-up begins; how many before it have begun without coming to an end."""
        self._set_ups.value += 1
        return int(self._set_ups.value) - 1

    def end_set_up(self) -> None:
        """The child: it is ready for work."""
        self._set_ups.value = 0
