"""Sends work to the workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.jobs.queues import AGAIN, GENERATE_TASK, PREPARE, PREPARE_TASK, QUEUE_OF_LANE
from sadtalker_service.jobs.time_limit import job_limit
from sadtalker_service.settings import Settings
from sadtalker_service.state.records import Session
from sadtalker_service.state.sessions import SessionStore


class Dispatch(Protocol):
    """Sends tickets to the broker. Both methods raise `StoreUnavailable`, quickly."""

    def generate(self, session: Session) -> None:
        """Make a worker of the session's lane `begin` it."""

    def prepare(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        """Make a worker prepare the avatar."""


class CeleryDispatch:
    """Sends through Celery. Thread-safe. Each method raises `StoreUnavailable`."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    def generate(self, session: Session) -> None:
        """Make a worker render the video of a waiting session, in the order of its lane. A session that was
        started before goes first."""
        queue = QUEUE_OF_LANE[session.lane] if session.started_at is None else AGAIN
        limit = job_limit(self._settings, session.spec.audio_seconds) * session.spec.timeout_factor
        self._send(GENERATE_TASK, [session.session_id], queue, limit)

    def prepare(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        """Make a worker prepare an avatar."""
        face = [face_index] if face_index else []
        self._send(PREPARE_TASK, [image_id, mode, *face], PREPARE, job_limit(self._settings, 0.0))

    def _send(self, task: str, arguments: list[str | int], queue: str, limit: float) -> None:
        with _broker_errors():
            # the worker's parent process enforces the limit and ends a child that hangs
            self._app.send_task(task, arguments, queue=queue, time_limit=limit)


def send_waiting(sessions: SessionStore, dispatch: Dispatch) -> int:
    """Send the tickets of promoted and handed-back sessions. Returns their number.

    Call it after `fail`, `hand_back` and `cancel`; the janitor calls it too. Raises `StoreUnavailable`.
    """
    waiting = sessions.unsent()
    for session in waiting:
        dispatch.generate(session)
    return len(waiting)


@contextmanager
def _broker_errors() -> Iterator[None]:
    try:
        yield
    except (KombuError, RedisError, OSError) as error:
        raise StoreUnavailable(
            "The queue server does not answer. Try again in a moment.", retry_after=2.0
        ) from error
