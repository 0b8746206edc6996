"""Structured logs: one event per line, an event's name and its values, the same for every process.

Our own events (`structlog.get_logger(__name__).info("session_ready", frames=250)`) and the lines of libraries
(uvicorn, Celery, warnings) take the same way: JSON for machines, colours for people. What is bound with
`bound(request_id=...)` is in every event inside of the block, in other modules too.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from sadtalker_service.settings import Settings

TALKATIVE = (
    "celery", "multiprocessing", "kombu", "httpcore", "httpx", "fsspec", "numba", "PIL", "asyncio", "urllib3",
)  # fmt: skip
"""Libraries whose everyday events tell nothing that an event of ours does not tell; warnings are kept."""


def configure_logging(settings: Settings, role: str, stream: TextIO | None = None) -> None:
    """Send every event of this process to `stream`, standard error if None, once per process at its start.

    `role` (`api`, `worker`, `supervisor`) stands in every event. Uvicorn needs `log_config=None` and Celery
    `worker_hijack_root_logger=False`, or they would set up handlers of their own.
    """
    stream = stream or sys.stderr
    shared = _shared(role)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(settings, stream),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_level(settings, stream))
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def bound(**values: object) -> AbstractContextManager[None]:
    """A block in which `values` (`request_id`, `session_id`) stand in every event; None is left out.

    It holds for the thread or the asyncio task that enters it, and for the tasks that it starts.
    """
    present = {name: value for name, value in values.items() if value is not None}
    return structlog.contextvars.bound_contextvars(**present)


def _shared(role: str) -> list[Processor]:
    """What is done to every event, wherever it comes from."""

    def add_role(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("role", role)
        return event

    return [
        structlog.contextvars.merge_contextvars,
        add_role,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _level(settings: Settings, stream: TextIO) -> str:
    if settings.log_level != "auto":
        return settings.log_level.upper()
    return "WARNING" if stream.isatty() else "INFO"


def _rendering(settings: Settings, stream: TextIO) -> list[Processor]:
    people = settings.log_format == "console" or (settings.log_format == "auto" and stream.isatty())
    if people:
        # plain tracebacks: the rich ones print every local variable, a portrait's pixels among them
        plain = structlog.dev.plain_traceback
        return [
            _without_colours,
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain),
        ]
    return [
        _without_colours,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(default=str),
    ]


def _without_colours(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Uvicorn sends its lines a second time, in colours."""
    event.pop("color_message", None)
    return event
