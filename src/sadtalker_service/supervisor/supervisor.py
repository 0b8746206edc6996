"""The supervisor: starts the processes of the service in order, restarts those that die, and stops them
all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import structlog

from sadtalker_service.errors import StartFailed
from sadtalker_service.supervisor.child import Child, ChildSpec
from sadtalker_service.supervisor.signals import Wakeups

log = structlog.get_logger(__name__)

MOST_FAILED_STARTS = 5
"""A process that exits this often before it was ever ready will not become ready, so the service does not
start."""
_PERMANENT_ERRORS = frozenset({2, 3})
"""Exit codes of our own programs (`errors`) for errors that a retry would not fix."""
_POLL_SECONDS = 0.1
_LONGEST_MESSAGE = 500


class Supervisor:
    """Runs the children until a stop signal. Uses no threads. Must run in the main thread of its process."""

    def __init__(
        self,
        stages: Sequence[Sequence[ChildSpec]],
        on_ready: Callable[[str], None] = lambda _name: None,
        on_stop: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the children of all stages without starting them.

        Args:
            stages: children by stage. The children of a stage start together once all of the previous stage
                are ready. They stop together, in reverse order of the stages.
            on_ready: called with a child's name each time it becomes ready.
            on_stop: called once, before the first child is stopped.
            clock: returns seconds.
        """
        self._stages = [[Child(spec, clock) for spec in stage] for stage in stages]
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._clock = clock

    def run(self) -> None:
        """Return after SIGTERM, SIGINT or SIGHUP, when everything has stopped.

        A second signal ends the waiting: all remaining processes are killed, except for the first stage,
        which holds the data of the others. Raises `StartFailed`, with nothing left running, if a process does
        not start.
        """
        with Wakeups() as wakeups:
            try:
                self._start(wakeups)
                while not wakeups.stops:
                    self._check_children(self._children())
                    wakeups.wait(self._pause())
            finally:
                self._on_stop()
                self._stop(wakeups)

    def _start(self, wakeups: Wakeups) -> None:
        for number in range(len(self._stages)):
            while not wakeups.stops:
                self._check_children(self._children(number + 1))
                if all(child.was_ready for child in self._stages[number]):
                    break
                wakeups.wait(self._pause())

    def _check_children(self, children: Iterable[Child]) -> None:
        now = self._clock()
        for child in children:
            if (code := child.ended()) is not None:
                self._log_exit(child, code)
            elif child.pid is None:
                if now >= child.due:
                    self._spawn(child)
            elif child.check_ready():
                log.info("child_ready", child=child.spec.name, pid=child.pid)
                self._on_ready(child.spec.name)

    def _spawn(self, child: Child) -> None:
        try:
            child.start()
        except (OSError, StartFailed) as error:
            if not child.was_ready:
                raise StartFailed(f"Cannot start {child.spec.name}: {error}") from error
            child.postpone()
            log.warning("child_not_started", child=child.spec.name, reason=str(error))
        else:
            log.info("child_started", child=child.spec.name, pid=child.pid)

    def _log_exit(self, child: Child, code: int) -> None:
        pause = round(child.due - self._clock(), 1)
        log.warning("child_ended", child=child.spec.name, code=code, again_in_seconds=pause)
        if child.was_ready:
            return
        if code in _PERMANENT_ERRORS or child.failed_starts >= MOST_FAILED_STARTS:
            raise StartFailed(
                f"The service does not start: {child.spec.name} ended with code {code}."
                f" {_last_output(child.spec)}"
            )

    def _stop(self, wakeups: Wakeups) -> None:
        stops_before = wakeups.stops
        for number in reversed(range(len(self._stages))):
            # a worker that finishes a job still needs the stages below; a child that was never ready is not
            # needed
            needed = [child for child in self._children(number) if child.was_ready]
            stage = self._stages[number]
            deadline = {child.spec.name: self._clock() + child.spec.grace for child in stage}
            for child in stage:
                child.ask_to_stop()
            while running := [child for child in stage if child.pid is not None]:
                for child in running:
                    hurried = wakeups.stops > stops_before and number > 0
                    if hurried or self._clock() >= deadline[child.spec.name]:
                        log.warning("child_killed", child=child.spec.name, pid=child.pid)
                        child.kill()
                    if (code := child.ended()) is not None:
                        log.info("child_stopped", child=child.spec.name, code=code)
                self._check_children(needed)
                if any(child.pid is not None for child in running):
                    wakeups.wait(_POLL_SECONDS)

    def _children(self, stages: int | None = None) -> Iterator[Child]:
        """The children of the first `stages` stages."""
        return (child for stage in self._stages[:stages] for child in stage)

    def _pause(self) -> float | None:
        """Seconds until the next check, or None if only a signal can change anything."""
        return None if all(child.ready for child in self._children()) else _POLL_SECONDS


def _last_output(spec: ChildSpec) -> str:
    if spec.log_file is None:
        return "See its output above."
    try:
        lines = spec.log_file.read_text(errors="replace").strip().splitlines() or ["nothing"]
    except OSError:
        lines = ["nothing"]
    return f"{spec.log_file} says: {lines[-1][-_LONGEST_MESSAGE:]}"
