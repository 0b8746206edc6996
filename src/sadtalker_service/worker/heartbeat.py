"""A worker's heartbeat in the worker registry, with its current state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import structlog

from sadtalker_service.errors import StoreUnavailable, without_folders
from sadtalker_service.state.records import WorkerFacts
from sadtalker_service.state.registry import WorkerRegistry

log = structlog.get_logger(__name__)

BEAT_SECONDS = 2.0
_BEATS_PER_CARD = 15
"""The engines' cards are published again every half minute: a queue server may have restarted empty."""


class Heartbeat:
    """Writes to the registry every two seconds and after each change, until the process ends."""

    def __init__(
        self,
        board: WorkerRegistry,
        worker: str,
        queues: tuple[str, ...],
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._board = board
        self._worker = worker
        self._facts = WorkerFacts(queues)
        self._is_stopping = is_stopping
        self._publish: Callable[[], None] | None = None
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Start; the worker has no engine yet."""
        self._thread.start()

    def warm(self, engine: str, publish: Callable[[], None], obstacles: Mapping[str, str]) -> None:
        """Report that the default engine is ready.

        `publish` publishes the cards of all engines that can run here. `obstacles` maps the others to the
        reason.
        """
        self._publish = publish
        # the names of folders belong in this machine's log only
        shown = {name: without_folders(why) for name, why in obstacles.items()}
        self._set(replace(self._facts, engine=engine, state="idle", obstacles=shown))

    @contextmanager
    def busy(self, session_id: str | None) -> Iterator[None]:
        """Context manager that reports the worker as busy with a session (None: with an avatar)."""
        self._set(replace(self._facts, state="busy", session_id=session_id))
        try:
            yield
        finally:
            self._set(replace(self._facts, state="idle", session_id=None))

    def _set(self, facts: WorkerFacts) -> None:
        self._facts = facts
        self._changed.set()

    def _run(self) -> None:
        beats = 0
        while True:
            self._changed.clear()
            self._beat()
            beats += 1
            if self._publish and beats % _BEATS_PER_CARD == 0:
                self._attempt(self._publish)
            self._changed.wait(BEAT_SECONDS)

    def _beat(self) -> None:
        facts = self._facts
        state: Literal["starting", "idle", "busy", "stopping"] = (
            "stopping" if self._is_stopping() else facts.state
        )
        self._attempt(lambda: self._board.beat(self._worker, replace(facts, state=state)))

    def _attempt(self, call: Callable[[], None]) -> None:
        try:
            call()
        except StoreUnavailable as error:  # the next beat tries again
            log.info("heartbeat_missed", reason=error.message)
