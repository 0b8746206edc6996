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


class Dispatch(Protocol):
    """Sends tickets to the broker. Both raise `StoreUnavailable`, quickly."""

    def generate(self, session: Session) -> None:
        """A worker that serves the session's lane shall `begin` it."""

    def prepare(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        """A worker shall prepare the avatar."""


class CeleryDispatch:
    """Sends through Celery. May be used by several threads. Each method raises `StoreUnavailable`."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    def generate(self, session: Session) -> None:
        """Let a worker make the video of a waiting session: when it is its lane's turn, or next of all if it
        was begun before."""
        queue = QUEUE_OF_LANE[session.lane] if session.started_at is None else AGAIN
        limit = job_limit(self._settings, session.spec.audio_seconds) * session.spec.timeout_factor
        self._send(GENERATE_TASK, [session.session_id], queue, limit)

    def prepare(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        """Let a worker prepare an avatar."""
        face = [face_index] if face_index else []
        self._send(PREPARE_TASK, [image_id, mode, *face], PREPARE, job_limit(self._settings, 0.0))

    def _send(self, task: str, arguments: list[str | int], queue: str, limit: float) -> None:
        with _broker_errors():
            # the limit is held by the worker's parent process, which ends a child that hangs
            self._app.send_task(task, arguments, queue=queue, time_limit=limit)


@contextmanager
def _broker_errors() -> Iterator[None]:
    try:
        yield
    except (KombuError, RedisError, OSError) as error:
        raise StoreUnavailable(
            "The queue's server does not answer. Try again in a moment.", retry_after=2.0
        ) from error
